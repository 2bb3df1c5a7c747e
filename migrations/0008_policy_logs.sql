-- Why: the log of policy decisions: append-only, partitioned by month of executed_at, removed only by its retention.
-- Locks: an earlier, unpartitioned log is locked while its rows are copied into the partitions.
-- Older program: an older hand-made program may go on inserting; it can no longer update or delete.

do $set_aside$
begin
  if exists (select from pg_catalog.pg_class where oid = to_regclass('public.moonpay_policy_logs') and relkind = 'r') then
    alter table public.moonpay_policy_logs set schema moonguard;
    alter table moonguard.moonpay_policy_logs rename to policy_logs_before_moonguard;
  end if;
end
$set_aside$;

create table public.moonpay_policy_logs (
  id uuid not null default moonguard.uuid_v7(),
  log_id text not null default 'log_' || replace(moonguard.uuid_v7()::text, '-', ''),
  policy_id text not null,
  policy_name text,
  policy_type text not null default 'compliance_rule',
  action_type text not null,
  execution_status text not null default 'success',
  entity_type text,
  entity_id text,
  customer_id text,
  transaction_id text,
  rule_conditions jsonb,
  rule_results jsonb,
  violation_details jsonb,
  before_state jsonb,
  after_state jsonb,
  triggered_by text,
  executed_by text not null default 'system',
  approved_by text,
  reason text,
  notes text,
  severity text not null default 'info',
  compliance_impact text not null default 'none',
  requires_action boolean not null default false,
  action_taken text,
  follow_up_required boolean not null default false,
  follow_up_date timestamptz,
  retention_period_days integer not null default 2555,
  retention_class text not null default 'standard',
  auto_generated boolean not null default true,
  source text,
  correlation_id text,
  session_id text,
  ip_address inet,
  user_agent text,
  metadata jsonb not null default '{}',
  executed_at timestamptz not null default now(),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint moonpay_policy_logs_pkey primary key (id, executed_at)
) partition by range (executed_at);

-- What no month is there for: an audit row is never refused for want of a partition.
create table moonguard_partitions.moonpay_policy_logs_default partition of public.moonpay_policy_logs default;
alter table moonguard_partitions.moonpay_policy_logs_default enable row level security;

create function moonguard.refuse_policy_log_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- Set for the time of one statement by the retention functions; roles other than the owner have no DELETE anyway.
  if tg_op = 'DELETE' and current_setting('moonguard.retention', true) = 'on' then
    return old;
  end if;
  raise exception using
    errcode = 'restrict_violation', constraint = 'moonpay_policy_logs_append_only',
    message = format('moonpay_policy_logs is append-only: %s is refused', lower(tg_op)),
    hint = case tg_op when 'UPDATE' then 'Write a further row.' else 'Rows go at the end of their retention: select cleanup_old_moonpay_policy_logs().' end;
end
$$;

create function moonguard.ensure_policy_log_partition(p_month date) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  -- Months are those of UTC, whatever time zone a session has: partitions made by two sessions must not overlap.
  v_from timestamptz := date_trunc('month', p_month::timestamp) at time zone 'UTC';
  v_to timestamptz := (date_trunc('month', p_month::timestamp) + interval '1 month') at time zone 'UTC';
  v_name text := 'moonpay_policy_logs_' || to_char(p_month, 'YYYY_MM');
begin
  perform pg_advisory_xact_lock(hashtextextended('moonguard.ensure_policy_log_partition', 0));
  if to_regclass('moonguard_partitions.' || v_name) is not null then
    return false;
  end if;
  execute format('create table moonguard_partitions.%I (like public.moonpay_policy_logs including defaults including constraints)', v_name);
  execute format('alter table moonguard_partitions.%I enable row level security', v_name);
  -- A month that begins with rows in the default partition takes them over.
  perform set_config('moonguard.retention', 'on', true);
  execute format(
    'with moved as (delete from moonguard_partitions.moonpay_policy_logs_default where executed_at >= %L and executed_at < %L returning *)
     insert into moonguard_partitions.%I select * from moved', v_from, v_to, v_name);
  perform set_config('moonguard.retention', '', true);
  execute format('alter table public.moonpay_policy_logs attach partition moonguard_partitions.%I for values from (%L) to (%L)',
    v_name, v_from, v_to);
  execute format('create trigger moonpay_policy_logs_no_truncate before truncate on moonguard_partitions.%I
    for each statement execute function moonguard.refuse_policy_log_change()', v_name);
  return true;
end
$$;
comment on function moonguard.ensure_policy_log_partition(date) is 'Makes the partition of a month unless it is there; true when it was made.';

create function moonguard.ensure_policy_log_partitions(p_months_ahead integer default 3, p_now timestamptz default now()) returns integer
language sql set search_path = '' as $$
  select count(*) filter (where moonguard.ensure_policy_log_partition((date_trunc('month', p_now at time zone 'UTC') + make_interval(months => ahead))::date))::integer
  from generate_series(0, p_months_ahead) as ahead
$$;
comment on function moonguard.ensure_policy_log_partitions(integer, timestamptz) is 'Makes the partitions of this month and of those ahead; returns how many were missing.';

select moonguard.ensure_policy_log_partitions();

-- Rows of an earlier version: every one, with its columns; columns we do not know come along.
do $adopt$
declare
  v_old regclass := to_regclass('moonguard.policy_logs_before_moonguard');
  v_column record;
  v_targets text;
  v_values text;
  v_count bigint;
  v_copied bigint;
begin
  if v_old is null then
    return;
  end if;
  for v_column in
    select a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod) as type from pg_catalog.pg_attribute a
    where a.attrelid = v_old and a.attnum > 0 and not a.attisdropped
      and not exists (select from pg_catalog.pg_attribute n where n.attrelid = 'public.moonpay_policy_logs'::regclass and n.attname = a.attname)
  loop
    execute format('alter table public.moonpay_policy_logs add column %I %s', v_column.attname, v_column.type);
    perform moonguard.report_finding('moonpay_policy_logs', null, format('column %s is not ours', v_column.attname), 'left: kept with its values');
  end loop;

  -- A value that the column may not lack is filled in with its default.
  select string_agg(format('%I', n.attname), ', ' order by n.attnum),
    string_agg(case
        when n.attname = 'executed_at' then (select format('coalesce(%s, now())', string_agg(format('%I', t.attname), ', ' order by t.attname desc))
          from pg_catalog.pg_attribute t where t.attrelid = v_old and t.attname in ('executed_at', 'created_at') and not t.attisdropped)
        when n.attname = 'policy_id' then 'coalesce(policy_id::text, ''unknown'')'
        when n.attname = 'action_type' then 'coalesce(action_type::text, ''rule_triggered'')'
        when n.attnotnull and n.atthasdef then format('coalesce(%I::%s, %s)', n.attname, pg_catalog.format_type(n.atttypid, n.atttypmod), pg_catalog.pg_get_expr(d.adbin, d.adrelid))
        else format('%I::%s', n.attname, pg_catalog.format_type(n.atttypid, n.atttypmod))
      end, ', ' order by n.attnum)
  into v_targets, v_values
  from pg_catalog.pg_attribute n
  left join pg_catalog.pg_attrdef d on d.adrelid = n.attrelid and d.adnum = n.attnum
  where n.attrelid = 'public.moonpay_policy_logs'::regclass and n.attnum > 0 and not n.attisdropped
    and exists (select from pg_catalog.pg_attribute o where o.attrelid = v_old and o.attname = n.attname and not o.attisdropped);

  execute format('insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
    select ''moonpay_policy_logs'', id::text, ''retention_period_days is null'', ''corrected: 2555 days'' from %s where retention_period_days is null', v_old);
  execute format('select moonguard.ensure_policy_log_partition(month::date) from
    (select distinct date_trunc(''month'', executed_at at time zone ''UTC'') as month from %s where executed_at > now() - interval ''20 years'' and executed_at < now() + interval ''1 year'') months', v_old);
  execute format('insert into public.moonpay_policy_logs (%s) select %s from %s', v_targets, v_values, v_old);
  get diagnostics v_copied = row_count;
  execute format('select count(*) from %s', v_old) into v_count;
  if v_copied <> v_count then
    raise exception 'copied % of % policy log rows', v_copied, v_count;
  end if;
  begin
    execute format('drop table %s', v_old);
  exception when dependent_objects_still_exist then
    perform moonguard.report_finding('moonpay_policy_logs', null, 'views or keys depend on the earlier table',
      'action needed: point them at the new table, then drop moonguard.policy_logs_before_moonguard');
  end;
end
$adopt$;

select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_policy_type_check',
  $$policy_type in ('kyc_policy', 'transaction_limit', 'risk_assessment', 'compliance_rule', 'aml_policy', 'sanctions_policy', 'geographic_restriction', 'customer_verification')$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_action_type_check',
  $$action_type in ('policy_created', 'policy_updated', 'policy_deleted', 'policy_activated', 'policy_deactivated', 'rule_triggered', 'rule_passed', 'rule_failed',
    'violation_detected', 'exception_granted', 'review_initiated', 'review_completed', 'approval_required', 'approval_granted', 'approval_denied')$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_execution_status_check',
  $$execution_status in ('success', 'failure', 'warning', 'skipped')$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_severity_check', $$severity in ('info', 'warning', 'error', 'critical')$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_compliance_impact_check',
  $$compliance_impact in ('none', 'low', 'medium', 'high', 'critical')$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_retention_period_days_check', $$retention_period_days > 0$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_metadata_check', $$jsonb_typeof(metadata) = 'object'$$);

create index moonpay_policy_logs_log_id_idx on public.moonpay_policy_logs (log_id);
create index moonpay_policy_logs_executed_at_idx on public.moonpay_policy_logs using brin (executed_at);
create index moonpay_policy_logs_policy_idx on public.moonpay_policy_logs (policy_id, executed_at);
create index moonpay_policy_logs_entity_idx on public.moonpay_policy_logs (entity_type, entity_id);
create index moonpay_policy_logs_customer_id_idx on public.moonpay_policy_logs (customer_id) where customer_id is not null;
create index moonpay_policy_logs_transaction_id_idx on public.moonpay_policy_logs (transaction_id) where transaction_id is not null;
create index moonpay_policy_logs_correlation_id_idx on public.moonpay_policy_logs (correlation_id) where correlation_id is not null;
create index moonpay_policy_logs_follow_up_idx on public.moonpay_policy_logs (follow_up_date) where follow_up_required;
create index moonpay_policy_logs_rule_conditions_idx on public.moonpay_policy_logs using gin (rule_conditions jsonb_path_ops) where rule_conditions is not null;
create index moonpay_policy_logs_metadata_idx on public.moonpay_policy_logs using gin (metadata jsonb_path_ops) where metadata <> '{}';

create trigger moonpay_policy_logs_append_only before update or delete on public.moonpay_policy_logs
  for each row execute function moonguard.refuse_policy_log_change();
create trigger moonpay_policy_logs_no_truncate before truncate on public.moonpay_policy_logs
  for each statement execute function moonguard.refuse_policy_log_change();
create trigger moonpay_policy_logs_no_truncate before truncate on moonguard_partitions.moonpay_policy_logs_default
  for each statement execute function moonguard.refuse_policy_log_change();

-- A unique constraint on a partitioned table must contain the partition key, so uniqueness of log_id is looked up. An id
-- from the default is new by construction and is spared the look-up in every partition.
create function moonguard.policy_log_before_insert() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.log_id !~ '^log_[0-9a-f]{12}7[0-9a-f]{19}$' then
    perform pg_advisory_xact_lock(hashtextextended('moonpay_policy_logs:' || new.log_id, 0));
    if exists (select from public.moonpay_policy_logs where log_id = new.log_id) then
      raise exception using
        errcode = 'unique_violation', constraint = 'moonpay_policy_logs_log_id_key',
        message = format('log_id %s is in the log already', new.log_id), hint = 'Leave log_id out to get a new one.';
    end if;
  end if;
  return new;
end
$$;
create trigger moonpay_policy_logs_before_insert before insert on public.moonpay_policy_logs
  for each row execute function moonguard.policy_log_before_insert();

comment on table public.moonpay_policy_logs is 'What policies decided, on what, and why. Append-only; partitioned by month of executed_at.';
comment on column public.moonpay_policy_logs.log_id is 'Unique across partitions.';
comment on column public.moonpay_policy_logs.rule_conditions is 'What was asked: source, hash and version of the rules.';
comment on column public.moonpay_policy_logs.rule_results is 'What came out, with the values that mattered.';
comment on column public.moonpay_policy_logs.retention_period_days is 'How long the row is kept after executed_at; 2555 days are seven years.';
comment on column public.moonpay_policy_logs.retention_class is 'Which retention rule applies.';
comment on column public.moonpay_policy_logs.correlation_id is 'Same for all that happened because of one event.';
comment on column public.moonpay_policy_logs.executed_at is 'When it was decided.';
comment on column public.moonpay_policy_logs.updated_at is 'As created_at: rows never change.';
