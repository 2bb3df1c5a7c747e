-- Why: what is to be done from time to time is a row: whose turn it is, what came of the last, when the next one comes.
-- Locks: none on tables that exist.
-- Older program: goes on with timers of its own; all that it does may be done by two at once.

create table moonguard.jobs (
  name text primary key,
  every_seconds integer not null,
  sql_call text,
  next_at timestamptz not null default now(),
  paused_at timestamptz,
  paused_by text,
  is_on_pg_cron boolean not null default false,
  lease_token uuid,
  leased_until timestamptz,
  worker text,
  last_started_at timestamptz,
  last_ended_at timestamptz,
  last_status text,
  last_result jsonb,
  last_error text,
  failures integer not null default 0,
  constraint jobs_every_seconds_check check (every_seconds > 0),
  constraint jobs_paused_check check ((paused_at is null) = (paused_by is null)),
  constraint jobs_pg_cron_check check (sql_call is not null or not is_on_pg_cron),
  constraint jobs_lease_check check ((lease_token is null) = (leased_until is null)),
  constraint jobs_last_status_check check (last_status in ('done', 'interrupted', 'failed'))
) with (fillfactor = 50);
comment on table moonguard.jobs is 'What is done from time to time, each by one process at a time: whoever holds the lease.';
comment on column moonguard.jobs.sql_call is 'The work, where it is a call of one SQL function: it returns how much it did (0: nothing is left), or a row, or an object, of such numbers, in which more: call again, next_due: when there is something to do, failure: what could not be done.';
comment on column moonguard.jobs.is_on_pg_cron is 'pg_cron runs it, and no server or worker does.';
comment on column moonguard.jobs.worker is 'Host and process that ran it last, or run it now.';
comment on column moonguard.jobs.last_result is 'Of the run under way: so far.';
comment on column moonguard.jobs.failures is 'How many runs have failed one after the other.';

revoke all on moonguard.jobs from public, anon, authenticated, service_role;
alter table moonguard.jobs enable row level security;
create policy owner_only on moonguard.jobs using (false);

-- One answer for both questions, what is mine now and when is something due, so that a process at rest asks once.
create function moonguard.claim_jobs(p_names text[], p_worker text, p_lease_seconds double precision, p_by_hand boolean default false)
returns table (name text, lease_token uuid, due_in_seconds double precision)
language sql set search_path = '' as $$
  with due as materialized (
    select j.name from moonguard.jobs j
    where j.name = any (p_names) and coalesce(j.leased_until <= now(), true)
      and (p_by_hand or (j.next_at <= now() and j.paused_at is null and not j.is_on_pg_cron))
    order by j.name for update skip locked
  ), claimed as (
    update moonguard.jobs j set lease_token = moonguard.uuid_v7(), leased_until = now() + make_interval(secs => p_lease_seconds),
      worker = p_worker, last_started_at = clock_timestamp()
    from due where j.name = due.name
    returning j.name, j.lease_token
  )
  select j.name, claimed.lease_token, extract(epoch from greatest(j.next_at, j.leased_until) - now())::double precision
  from moonguard.jobs j left join claimed using (name)
  where j.name = any (p_names) and (claimed.name is not null or (j.paused_at is null and not j.is_on_pg_cron))
$$;
comment on function moonguard.claim_jobs(text[], text, double precision, boolean) is
  'Leases those of the jobs that are due; by hand, whatever their time. The others, unless they wait for nothing: when they are due.';

create function moonguard.settle_job(p_name text, p_lease_token uuid, p_status text, p_result jsonb, p_error text, p_next_due timestamptz)
returns double precision
language sql set search_path = '' as $$
  update moonguard.jobs set lease_token = null, leased_until = null, last_ended_at = clock_timestamp(),
    last_status = p_status, last_result = p_result, last_error = p_error,
    failures = case when p_status = 'failed' then failures + 1 else 0 end,
    -- What failed comes again after a minute, then after twice as long each time.
    next_at = case p_status
      when 'interrupted' then clock_timestamp()
      when 'failed' then clock_timestamp() + make_interval(secs => least(every_seconds, 60 * 2 ^ least(failures, 10)))
      else least(p_next_due, clock_timestamp() + make_interval(secs => every_seconds)) end
  where name = p_name and lease_token = p_lease_token
  returning extract(epoch from next_at - clock_timestamp())::double precision
$$;
comment on function moonguard.settle_job(text, uuid, text, jsonb, text, timestamptz) is
  'Writes down what came of a run and ends its lease; returns the seconds until the next run, or null when the lease is another''s by now.';

create function moonguard.run_job(p_name text) returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_call text := (select sql_call from moonguard.jobs where name = p_name and paused_at is null);
  v_token uuid;
  v_result jsonb;
  v_error text;
begin
  select c.lease_token into v_token from moonguard.claim_jobs(array[p_name], 'pg_cron', 60, true) c where v_call is not null;
  if v_token is null then
    return null;
  end if;
  begin
    execute format('select to_jsonb(done) from %s as done', v_call) into v_result;
    v_error := case jsonb_typeof(v_result) when 'object' then v_result ->> 'failure' end;
  exception when others then
    v_error := sqlstate;
  end;
  perform moonguard.settle_job(p_name, v_token, case when v_error is null then 'done' else 'failed' end,
    case jsonb_typeof(v_result) when 'number' then jsonb_build_object('done', v_result) else v_result end, v_error, null);
  return v_result;
end
$$;
comment on function moonguard.run_job(text) is 'Runs a job whose work is one SQL function, as pg_cron does; null when it is paused, or another one runs it.';

-- Autovacuum never looks at a partitioned table as a whole, and the embedded database has none at all.
create function moonguard.refresh_statistics() returns jsonb
language plpgsql set search_path = '' as $$
declare
  v_only text := case when current_setting('server_version_num')::integer >= 180000 then 'only' else '' end;
  v_table record;
  v_tables integer := 0;
begin
  for v_table in
    select c.oid::regclass as name, c.relkind = 'p' as is_partitioned
    from pg_catalog.pg_class c left join pg_catalog.pg_stat_user_tables s on s.relid = c.oid
    where c.relnamespace in (select oid from pg_catalog.pg_namespace where nspname in ('public', 'moonguard', 'moonguard_partitions'))
      and (c.relnamespace <> 'public'::regnamespace or c.relname like 'moonpay\_%')
      and (c.relkind = 'p' or c.relkind = 'r' and s.n_mod_since_analyze > 1000 + s.n_live_tup / 5)
    order by c.oid
  loop
    execute format('analyze %s %s', case when v_table.is_partitioned then v_only end, v_table.name);
    v_tables := v_tables + 1;
  end loop;
  return jsonb_build_object('tables', v_tables);
end
$$;
comment on function moonguard.refresh_statistics() is
  'Tells the planner about tables that autovacuum leaves out: partitioned ones as a whole, and what changed much since.';

revoke all on function moonguard.claim_jobs(text[], text, double precision, boolean), moonguard.settle_job(text, uuid, text, jsonb, text, timestamptz),
  moonguard.run_job(text), moonguard.refresh_statistics() from public, anon, authenticated, service_role;
