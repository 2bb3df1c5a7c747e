-- Why: how long rows of the policy log are kept, by class; legal holds and rules with their history; removal in batches and
--   by whole months, and erasure of what is about a person, each said in the log itself.
-- Long because: what removes, what erases and what keeps a row ask the same questions; apart, they would drift.
-- Locks: none on tables that exist, but for the moment in which a trigger is added to legal_holds.
-- Older program: runs on; its cleanup is this one.

create table moonguard.retention_rules (
  retention_class text primary key,
  record_class text not null,
  jurisdiction text not null,
  days integer not null,
  row_may_shorten boolean not null default false,
  personal_data_ends boolean not null default false,
  source text not null,
  constraint retention_rules_days_check check (days between 1 and 365000),
  constraint retention_rules_text_check check (btrim(retention_class) <> '' and btrim(source) <> '')
);
comment on table moonguard.retention_rules is 'How long rows of the policy log are kept, by retention_class. Yours to change; each change is a row of the log.';
comment on column moonguard.retention_rules.days is 'After executed_at. retention_period_days and retain_until of a row may lengthen it.';
comment on column moonguard.retention_rules.row_may_shorten is 'Whether retention_period_days alone says how long a row of the class is kept. Such a class is no law: its rows may be erased on request.';
comment on column moonguard.retention_rules.personal_data_ends is 'Whether what is about a person is erased after these days, even where the row itself stays longer.';
comment on column moonguard.retention_rules.source is 'Where the days come from.';

-- In days that no five or ten years exceed, leap days and all.
insert into moonguard.retention_rules (retention_class, record_class, jurisdiction, days, row_may_shorten, personal_data_ends, source) values
  ('standard', 'any', 'any', 2555, true, false, 'Default of moonpay_policy_logs: seven years, unless the row says otherwise'),
  ('us_sanctions', 'sanctions', 'US', 3653, false, false, '31 CFR 501.601: ten years (OFAC, since 2025-03-12)'),
  ('us_sar', 'suspicious activity', 'US', 1887, false, false,
    '31 CFR 1020.320(d): five years from filing; (b)(3): filed within 60 days at most. Filed later: set retain_until'),
  ('eu_aml', 'customer due diligence, transactions', 'EU', 1827, false, true,
    'Regulation (EU) 2024/1624, article 77 (from 2027-07-10): five years, then personal data must go unless extended');

create function moonguard.write_retention_log(p_entry jsonb) returns uuid
language sql set search_path = '' as $$
  insert into public.moonpay_policy_logs (id, policy_id, policy_name, action_type, executed_by, reason, customer_id, transaction_id,
    correlation_id, before_state, after_state, compliance_impact, auto_generated, source, metadata)
  select coalesce(id, moonguard.uuid_v7()), policy_id, policy_name, action_type, coalesce(executed_by, moonguard.current_actor(), session_user), reason, customer_id,
    transaction_id, correlation_id, before_state, after_state, 'high', moonguard.current_actor() is null, 'retention', coalesce(metadata, '{}')
  from jsonb_to_record(p_entry) as entry (id uuid, policy_id text, policy_name text, action_type text, executed_by text, reason text, customer_id text,
    transaction_id text, correlation_id text, before_state jsonb, after_state jsonb, metadata jsonb)
  returning id
$$;

create function moonguard.note_retention_rule() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform moonguard.write_retention_log(jsonb_build_object('policy_id', 'moonguard_retention', 'policy_name', 'Retention',
    'action_type', case tg_op when 'INSERT' then 'policy_created' when 'UPDATE' then 'policy_updated' else 'policy_deleted' end,
    'reason', format('Retention class %s', coalesce(new.retention_class, old.retention_class)),
    'before_state', to_jsonb(old), 'after_state', to_jsonb(new)));
  return null;
end
$$;
create trigger retention_rules_history after insert or update or delete on moonguard.retention_rules
  for each row execute function moonguard.note_retention_rule();

-- A hold is set and lifted, never changed: who held what, and why, stays to be seen.
create function moonguard.note_legal_hold() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_hold jsonb;
begin
  if tg_op = 'DELETE' or tg_op = 'UPDATE' and (old.lifted_at is not null
      or to_jsonb(new) - '{lifted_at,lifted_by,lifted_reason}'::text[] <> to_jsonb(old) - '{lifted_at,lifted_by,lifted_reason}'::text[]) then
    raise exception using errcode = 'restrict_violation', constraint = 'legal_holds_history',
      message = 'a legal hold is set and lifted, and never changed', hint = 'Lift it, and set another one.';
  end if;
  v_hold := jsonb_build_object('policy_id', 'moonguard_legal_hold', 'policy_name', 'Legal hold', 'customer_id', new.customer_id,
    'transaction_id', new.transaction_id, 'correlation_id', new.correlation_id, 'metadata', jsonb_build_object('hold_id', new.id));
  if tg_op = 'INSERT' then
    new.set_by := coalesce(moonguard.current_actor(), new.set_by);
    perform moonguard.write_retention_log(v_hold || jsonb_build_object('action_type', 'policy_activated', 'executed_by', new.set_by, 'reason', new.reason,
      'after_state', jsonb_strip_nulls(to_jsonb(new))));
  elsif new.lifted_at is not null then
    new.lifted_by := coalesce(moonguard.current_actor(), new.lifted_by);
    perform moonguard.write_retention_log(v_hold || jsonb_build_object('action_type', 'policy_deactivated', 'executed_by', new.lifted_by,
      'reason', new.lifted_reason, 'before_state', jsonb_strip_nulls(to_jsonb(old)), 'after_state', jsonb_strip_nulls(to_jsonb(new))));
  end if;
  return new;
end
$$;
create trigger legal_holds_history before insert or update or delete on moonguard.legal_holds
  for each row execute function moonguard.note_legal_hold();
comment on table moonguard.legal_holds is
  'What matches every given column of a hold that is not lifted is not removed: rows of the policy log, events with their deliveries and attempts. Such alerts are not archived. executed_from and executed_to bound executed_at, received_at and triggered_at; a hold with a policy_id covers rows of the log alone.';

create table moonguard.audit_erasures (
  leaf_index bigint primary key,
  record_id uuid not null,
  commitments jsonb not null
);
create index audit_erasures_record_id_idx on moonguard.audit_erasures (record_id);
comment on table moonguard.audit_erasures is 'Commitments of groups of columns that were erased, with their salts: the entry can be made without them. record_id is the row of the log that says so.';

-- What keeps a row l of the log beyond its days, at the time $1: as text, so that it is planned into the queries that ask.
create function moonguard.what_keeps_a_policy_log() returns text
language sql immutable set search_path = '' as $$
  select $condition$(
    coalesce(l.retain_until > $1, false)
    or l.follow_up_required and not exists (
      select from public.moonpay_policy_logs f
      where f.metadata @> jsonb_build_object('follows_up', l.log_id) and f.metadata <> '{}' and f.decision_id is null)
    or exists (
      select from moonguard.legal_holds h
      where h.lifted_at is null
        and (h.customer_id is null or h.customer_id in (l.customer_id, case l.entity_type when 'customer' then l.entity_id end))
        and (h.transaction_id is null or h.transaction_id in (l.transaction_id, case l.entity_type when 'transaction' then l.entity_id end))
        and (h.policy_id is null or h.policy_id = l.policy_id)
        and (h.correlation_id is null or h.correlation_id = l.correlation_id)
        and (h.executed_from is null or h.executed_from <= l.executed_at)
        and (h.executed_to is null or h.executed_to >= l.executed_at)))$condition$
$$;

create function moonguard.policy_log_partitions(p_now timestamptz)
returns table (partition_name name, relation regclass, is_over boolean, is_young boolean, personal_data_ends boolean)
language sql stable set search_path = '' as $$
  select c.relname, c.oid::regclass,
    coalesce((month.first + interval '1 month') at time zone 'UTC' <= least(p_now, now()), false),
    coalesce(month.first at time zone 'UTC' > p_now - make_interval(hours => 24 * 2555), false),
    exists (select from moonguard.retention_rules r
      where r.personal_data_ends and coalesce(month.first at time zone 'UTC' < p_now - make_interval(hours => 24 * r.days), true))
  from pg_catalog.pg_inherits i join pg_catalog.pg_class c on c.oid = i.inhrelid,
    lateral (select to_date(substring(c.relname from '^moonpay_policy_logs_(\d{4}_\d\d)$'), 'YYYY_MM')::timestamp as first) as month
  where i.inhparent = 'public.moonpay_policy_logs'::regclass
$$;
comment on function moonguard.policy_log_partitions(timestamptz) is
  'The partitions of the log: is_over, its month has ended; is_young, rows in it that are kept for 2555 days stay; personal_data_ends, rows in it may be past the days of a class whose personal data ends.';

-- Whatever removes or erases because of the time asks here which rows are due.
create function moonguard.due_policy_logs(p_task text, p_partition name, p_now timestamptz, p_after uuid default null, p_limit integer default null)
returns table (id uuid, executed_at timestamptz, retention_class text)
language plpgsql stable set search_path = '' set enable_seqscan = 'on' set jit = 'off' as $$
declare
  v_partition record;
  -- An older row may be beyond the check; no interval may be beyond what a timestamp can hold. What says that an erasure was
  -- one stays as long as what was erased.
  v_expired constant text := '(l.executed_at < $1 - make_interval(hours => 24 * least(365000,
      greatest(l.retention_period_days, case when not r.row_may_shorten then r.days end)))
    and not exists (select from moonguard.audit_erasures e where e.record_id = l.id))';
  v_personal constant text := '(r.personal_data_ends and l.executed_at < $1 - make_interval(hours => 24 * r.days)
    and to_jsonb(l) <> to_jsonb(l) || moonguard.erased_policy_log())';
begin
  select * into strict v_partition from moonguard.policy_log_partitions(p_now) where partition_name = p_partition;
  -- A batch goes on by id from where the one before ended, past what had to stay.
  perform set_config('enable_seqscan', case when p_limit is null then 'on' else 'off' end, true);
  return query execute format('
    select l.id, l.executed_at, l.retention_class from %s l left join moonguard.retention_rules r on r.retention_class = l.retention_class
    where %s and %s and %s and not %s order by l.id limit $3',
    v_partition.relation,
    case when p_after is null then 'true' else 'l.id > $2' end,
    case when v_partition.is_young and p_task = 'remove' then 'l.retention_period_days < 2555' else 'true' end,
    case p_task when 'remove' then v_expired || ' and ' || moonguard.what_allows_removal() when 'erase' then v_personal || ' and not ' || v_expired end,
    moonguard.what_keeps_a_policy_log())
  using p_now, p_after, p_limit;
end
$$;
comment on function moonguard.due_policy_logs(text, name, timestamptz, uuid, integer) is
  'Rows of a partition that nothing keeps: to ''remove'', past their days; to ''erase'', past the days of a class whose personal data ends. In the order of id.';

create function moonguard.plan_policy_log_retention(p_now timestamptz)
returns table (action text, partition_name name, retention_class text, row_count bigint)
language plpgsql stable set search_path = '' as $$
declare
  v_partition record;
  v_removed bigint;
  v_rows bigint;
begin
  for v_partition in select * from moonguard.policy_log_partitions(p_now) order by 1 loop
    partition_name := v_partition.partition_name;
    select count(*) into v_removed from moonguard.due_policy_logs('remove', partition_name, p_now);
    execute format('select count(*) from (select from %s limit %s) as counted', v_partition.relation, v_removed + 1) into v_rows;
    for action, retention_class, row_count in
      select case when v_partition.is_over and v_rows = v_removed then 'drop' else 'remove' end, d.retention_class, count(*)
      from moonguard.due_policy_logs('remove', partition_name, p_now) d where v_removed > 0 group by 2
      union all
      select 'erase', d.retention_class, count(*) from moonguard.due_policy_logs('erase', partition_name, p_now) d
      where v_partition.personal_data_ends group by 2 order by 1, 2
    loop
      return next;
    end loop;
  end loop;
end
$$;
comment on function moonguard.plan_policy_log_retention(timestamptz) is
  'What a run at this time does to the log: remove rows, drop whole partitions, erase what is about persons.';

-- The row of the log that says what was removed, and the note of which leaves went. Where what is removed said the same of
-- earlier rows, this one now says it of them too.
create function moonguard.record_removal(p_run uuid, p_removed jsonb, p_leaves int8multirange, p_removed_records uuid[]) returns void
language plpgsql set search_path = '' as $$
declare
  v_record uuid := moonguard.uuid_v7();
  v_leaves int8multirange;
begin
  with earlier as (delete from moonguard.audit_removals where record_id = any (p_removed_records) returning leaf_indexes)
  select range_agg(leaves) into v_leaves from (select unnest(p_leaves) union all select unnest(leaf_indexes) from earlier) as gone (leaves);
  delete from moonguard.audit_erasures e using unnest(p_leaves) as gone where e.leaf_index <@ gone;
  perform moonguard.write_retention_log(jsonb_build_object('id', v_record, 'policy_id', 'moonguard_retention', 'policy_name', 'Retention',
    'action_type', 'rule_triggered', 'correlation_id', p_run, 'reason', format('%s rows of the policy log were past their retention', p_removed -> 'rows'),
    'metadata', p_removed || jsonb_build_object('leaf_indexes', v_leaves)));
  if v_leaves is not null then
    insert into moonguard.audit_removals (leaf_indexes, record_id) values (v_leaves, v_record);
  end if;
  perform moonguard.note_retention(p_run, 'cleanup_old_moonpay_policy_logs', (p_removed ->> 'rows')::bigint,
    (p_removed ->> 'oldest')::timestamptz, (p_removed ->> 'newest')::timestamptz, p_removed ->> 'ids_digest');
end
$$;

-- A row must not be put into the tree while it is removed or erased: its leaf would have no row, or another one.
create function moonguard.hold_sequencing() returns void
language sql set search_path = '' as $$
  select pg_advisory_xact_lock(hashtextextended('moonguard.policy_log_removal', 0))
$$;

create function moonguard.remove_policy_log_batch(p_run uuid, p_partition name, p_now timestamptz, p_after uuid, p_limit integer,
  out classes jsonb, out last_id uuid)
language plpgsql set search_path = '' set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' set jit = 'off' as $$
declare
  v_relation regclass := (select relation from moonguard.policy_log_partitions(p_now) where partition_name = p_partition);
  v_ids uuid[];
  v_times timestamptz[];
  v_classes text[];
  v_leaves int8multirange;
begin
  perform moonguard.hold_sequencing();
  select array_agg(id order by id), array_agg(executed_at order by id), array_agg(retention_class)
  into v_ids, v_times, v_classes from moonguard.due_policy_logs('remove', p_partition, p_now, p_after, p_limit);
  classes := '{}';
  if v_ids is null then
    return;
  end if;
  if cardinality(v_ids) = p_limit then
    last_id := v_ids[p_limit];
  end if;
  select jsonb_object_agg(class, rows) into classes from (select class, count(*) as rows from unnest(v_classes) as class group by 1) as counted;
  perform set_config('moonguard.retention', 'on', true);
  execute format('delete from %s l using unnest($1, $2) as past (id, executed_at) where l.id = past.id and l.executed_at = past.executed_at', v_relation)
  using v_ids, v_times;
  perform set_config('moonguard.retention', '', true);
  with gone as (
    delete from moonguard.audit_leaves a using unnest(v_ids, v_times) as past (id, executed_at)
    where a.row_id = past.id and a.executed_at = past.executed_at returning a.leaf_index
  )
  select range_agg(int8range(leaf_index, leaf_index, '[]')) into v_leaves from gone;
  perform moonguard.record_removal(p_run, jsonb_build_object('partition', p_partition, 'dropped', false, 'rows', cardinality(v_ids), 'classes', classes,
    'oldest', (select min(at) from unnest(v_times) as at), 'newest', (select max(at) from unnest(v_times) as at),
    'ids_digest', encode(sha256(convert_to(array_to_string(v_ids, ','), 'UTF8')), 'hex')), v_leaves, v_ids);
end
$$;

-- With pauses: whoever commits beside it waits for what it has written to reach the disk.
create function moonguard.remove_partition_leaves(p_relation regclass) returns int8multirange
language plpgsql set search_path = '' set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' set jit = 'off' as $$
declare
  v_ids uuid[];
  v_after uuid := '00000000-0000-0000-0000-000000000000';
  v_gone int8multirange;
  v_leaves int8multirange := '{}';
begin
  loop
    execute format('select array_agg(id order by id) from (select distinct id from %s where id > $1 order by id limit 5000) as next', p_relation)
    into v_ids using v_after;
    exit when v_ids is null;
    v_after := v_ids[cardinality(v_ids)];
    with gone as (delete from moonguard.audit_leaves a where a.row_id = any (v_ids) returning a.leaf_index)
    select range_agg(int8range(leaf_index, leaf_index, '[]')) into v_gone from gone;
    v_leaves := v_leaves + coalesce(v_gone, '{}');
    perform pg_sleep(0.05);
  end loop;
  return v_leaves;
end
$$;

-- Writers wait only while the partition is detached, and no longer than this lock_timeout at a time.
create function moonguard.drop_policy_log_partition(p_run uuid, p_partition name, p_now timestamptz) returns jsonb
language plpgsql set search_path = '' set lock_timeout = '50ms' set max_parallel_workers_per_gather = 0 as $$
declare
  v_partition record;
  v_stays boolean;
  v_removed jsonb;
  v_classes jsonb;
  v_rows bigint;
  v_leaves int8multirange;
  v_late int8multirange;
  v_records uuid[];
  v_tree_size bigint := (select tree_size from moonguard.audit_log);
begin
  select * into strict v_partition from moonguard.policy_log_partitions(p_now) where partition_name = p_partition;
  -- Found at once where there is any: this spares counting.
  execute format('select exists (select from %s where executed_at >= $1 - make_interval(hours => 24 * least(retention_period_days, 365000)))', v_partition.relation)
  into v_stays using p_now;
  if v_stays or not v_partition.is_over then
    return null;
  end if;
  execute format('lock table %s in share mode', v_partition.relation);
  select coalesce(jsonb_object_agg(retention_class, row_count), '{}'), coalesce(sum(row_count), 0) into v_classes, v_rows
  from (select retention_class, count(*) as row_count from moonguard.due_policy_logs('remove', p_partition, p_now) group by 1) as expired;
  -- Of more than 10,000 ids, the digest of the digests of each 10,000.
  execute format($query$
    with chunk as (
      select place / 10000 as number, count(*) as rows, min(executed_at) as oldest, max(executed_at) as newest,
        encode(sha256(convert_to(string_agg(id::text, ',' order by id), 'UTF8')), 'hex') as digest
      from (select id, executed_at, row_number() over (order by id) - 1 as place from %s) as placed group by 1
    )
    select jsonb_build_object('partition', $1, 'dropped', true, 'rows', coalesce(sum(rows), 0), 'classes', $2, 'oldest', min(oldest), 'newest', max(newest),
      'ids_digest', case count(*) when 1 then min(digest) else encode(sha256(convert_to(string_agg(digest, '' order by number), 'UTF8')), 'hex') end)
    from chunk$query$, v_partition.relation) into v_removed using p_partition, v_classes;
  if (v_removed ->> 'rows')::bigint <> v_rows then
    return null;
  end if;
  if v_rows > 0 then
    v_leaves := moonguard.remove_partition_leaves(v_partition.relation);
    perform set_config('lock_timeout', '5s', true), moonguard.hold_sequencing(), set_config('lock_timeout', '50ms', true);
    -- Those that were put into the tree meanwhile.
    execute format('with gone as (
        delete from moonguard.audit_leaves a using %s l
        where a.leaf_index >= $1 and a.row_id = l.id and a.executed_at = l.executed_at returning a.leaf_index
      ) select range_agg(int8range(leaf_index, leaf_index, %L)) from gone', v_partition.relation, '[]') into v_late using v_tree_size;
    v_leaves := v_leaves + coalesce(v_late, '{}');
    execute format('select array_agg(id) from %s where policy_id = %L', v_partition.relation, 'moonguard_retention') into v_records;
    perform moonguard.record_removal(p_run, v_removed, nullif(v_leaves, '{}'), v_records);
  end if;
  for v_turn in 1..20 loop
    begin
      execute format('alter table public.moonpay_policy_logs detach partition %s', v_partition.relation);
      exit;
    exception when lock_not_available then
      if v_turn = 20 then
        raise;
      end if;
      perform pg_sleep(0.1);
    end;
  end loop;
  execute format('drop table %s', v_partition.relation);
  return v_classes;
exception when lock_not_available or deadlock_detected then
  -- Somebody reads or writes it for longer: with the next run.
  return null;
end
$$;

create function moonguard.remove_expired_policy_logs(p_run uuid, p_now timestamptz, p_partition name, p_after uuid, p_limit integer)
returns table (action text, partition_name name, classes jsonb, next_partition name, next_after uuid)
language plpgsql set search_path = '' as $$
begin
  if not moonguard.retention_is_ours() then
    return;
  end if;
  partition_name := (select p.partition_name from moonguard.policy_log_partitions(p_now) p where p.partition_name >= coalesce(p_partition, '') order by 1 limit 1);
  next_partition := (select p.partition_name from moonguard.policy_log_partitions(p_now) p where p.partition_name > remove_expired_policy_logs.partition_name order by 1 limit 1);
  if p_after is null then
    action := 'drop';
    classes := moonguard.drop_policy_log_partition(p_run, partition_name, p_now);
  end if;
  if classes is null then
    action := 'remove';
    select b.classes, b.last_id into classes, next_after from moonguard.remove_policy_log_batch(p_run, partition_name, p_now, p_after, p_limit) b;
    if next_after is not null then
      next_partition := partition_name;
    end if;
  end if;
  return next;
end
$$;
comment on function moonguard.remove_expired_policy_logs(uuid, timestamptz, name, uuid, integer) is
  'One step of a run: drops the partition, or else removes at most p_limit rows of it. Goes on at next_partition, next_after; null: nothing is left. No row: another session is at it.';

create function moonguard.clean_up_policy_logs(p_now timestamptz) returns bigint
language plpgsql set search_path = '' as $$
declare
  v_run uuid := moonguard.uuid_v7();
  v_step record;
  v_partition name;
  v_after uuid;
  v_removed bigint := 0;
begin
  perform pg_advisory_xact_lock(hashtextextended('moonguard.retention', 0));
  loop
    select * into v_step from moonguard.remove_expired_policy_logs(v_run, p_now, v_partition, v_after, 5000);
    v_removed := v_removed + coalesce((select sum(value::bigint) from jsonb_each_text(v_step.classes)), 0);
    v_partition := v_step.next_partition;
    v_after := v_step.next_after;
    exit when v_partition is null;
  end loop;
  return v_removed;
end
$$;

-- Takes what is about persons out of rows of which the program says what their leaves commit to.
create function moonguard.erase_policy_logs(p_run uuid, p_reason text, p_rows jsonb) returns void
language plpgsql set search_path = '' set enable_seqscan = 'off' set enable_hashjoin = 'off' set enable_mergejoin = 'off' set jit = 'off' as $$
declare
  v_record uuid := moonguard.uuid_v7();
  v_erased text := (select string_agg(format('%I = %L', key, value), ', ') from jsonb_each_text(moonguard.erased_policy_log()));
begin
  perform set_config('moonguard.retention', 'on', true);
  execute format('update public.moonpay_policy_logs l set %s from jsonb_to_recordset($1) as given (id uuid, executed_at timestamptz)
    where l.id = given.id and l.executed_at = given.executed_at', v_erased) using p_rows;
  perform set_config('moonguard.retention', '', true);
  with given as materialized (
    select leaf_index, decode(salts, 'hex') as salts, commitments
    from jsonb_to_recordset(p_rows) as given (leaf_index bigint, salts text, commitments jsonb) where leaf_index is not null
  ), unsalted as (
    update moonguard.audit_leaves a set salts = given.salts from given where a.leaf_index = given.leaf_index
  )
  insert into moonguard.audit_erasures (leaf_index, record_id, commitments) select leaf_index, v_record, commitments from given;
  perform moonguard.write_retention_log((
    select jsonb_build_object('id', v_record, 'policy_id', 'moonguard_erasure', 'policy_name', 'Erasure', 'action_type', 'rule_triggered',
      'correlation_id', p_run, 'reason', p_reason, 'metadata', jsonb_build_object('rows', count(*),
        'ids_digest', encode(sha256(convert_to(string_agg(id::text, ',' order by id), 'UTF8')), 'hex'),
        'leaf_indexes', range_agg(int8range(leaf_index, leaf_index, '[]')) filter (where leaf_index is not null)))
    from jsonb_to_recordset(p_rows) as given (id uuid, leaf_index bigint)));
  perform moonguard.note_retention(p_run, 'erase_personal_data', jsonb_array_length(p_rows), null, null);
end
$$;

create function moonguard.policy_logs_of_customer(p_customer text, p_now timestamptz)
returns table (id uuid, executed_at timestamptz, kept text)
language plpgsql stable set search_path = '' as $$
begin
  return query execute format($query$
    select l.id, l.executed_at, case when %s then 'held'
      when not r.row_may_shorten and l.executed_at > $1 - make_interval(hours => 24 * r.days) then 'required' end
    from public.moonpay_policy_logs l left join moonguard.retention_rules r on r.retention_class = l.retention_class
    where (l.customer_id = $2 or l.entity_type = 'customer' and l.entity_id = $2)
      and to_jsonb(l) <> to_jsonb(l) || moonguard.erased_policy_log()
    order by l.executed_at, l.id$query$, moonguard.what_keeps_a_policy_log())
  using p_now, p_customer;
end
$$;
comment on function moonguard.policy_logs_of_customer(text, timestamptz) is
  'Rows about a customer that are not erased. kept: held, by a legal hold, an open follow-up or retain_until; required, by the law that its class stands for.';

create function moonguard.erase_customer_events(p_customer text) returns table (erased bigint, held bigint)
language plpgsql set search_path = '' as $$
declare
  v_ids uuid[] := array(
    select e.id from public.moonpay_webhook_events e where e.entity_type = 'customer' and e.entity_id = p_customer
    union select f.event_id from moonguard.event_facts f where f.environment in ('sandbox', 'production') and f.customer = p_customer);
  v_held uuid[] := moonguard.held_events(v_ids);
begin
  v_ids := array(select id from unnest(v_ids) as id where id <> all (v_held));
  update public.moonpay_webhook_events set raw_body = null, event_data = 'null' where id = any (v_ids);
  update moonguard.delivery_attempts a set response_body = null from moonguard.deliveries d
  where a.delivery_id = d.id and d.event_id = any (v_ids) and a.response_body is not null;
  erased := cardinality(v_ids);
  held := cardinality(v_held);
  return next;
end
$$;
comment on function moonguard.erase_customer_events(text) is
  'Empties the bodies of a customer''s events and of the answers to them, but for events under a legal hold. What is left can no longer be delivered.';

revoke all on moonguard.retention_rules, moonguard.audit_erasures from public, anon, authenticated, service_role;
grant select, insert, update, delete on moonguard.retention_rules to authenticated, service_role;
alter table moonguard.retention_rules enable row level security;
alter table moonguard.audit_erasures enable row level security;
create policy owner_only on moonguard.audit_erasures using (false);
create policy retention_rules_read on moonguard.retention_rules for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor')));
create policy retention_rules_add on moonguard.retention_rules for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy retention_rules_change on moonguard.retention_rules for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy retention_rules_remove on moonguard.retention_rules for delete to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer')));

revoke all on function moonguard.write_retention_log(jsonb), moonguard.note_retention_rule(), moonguard.note_legal_hold(), moonguard.what_keeps_a_policy_log(),
  moonguard.policy_log_partitions(timestamptz), moonguard.due_policy_logs(text, name, timestamptz, uuid, integer),
  moonguard.plan_policy_log_retention(timestamptz), moonguard.record_removal(uuid, jsonb, int8multirange, uuid[]), moonguard.hold_sequencing(),
  moonguard.remove_policy_log_batch(uuid, name, timestamptz, uuid, integer), moonguard.remove_partition_leaves(regclass),
  moonguard.drop_policy_log_partition(uuid, name, timestamptz), moonguard.remove_expired_policy_logs(uuid, timestamptz, name, uuid, integer),
  moonguard.clean_up_policy_logs(timestamptz), moonguard.erase_policy_logs(uuid, text, jsonb), moonguard.policy_logs_of_customer(text, timestamptz),
  moonguard.erase_customer_events(text)
  from public, anon, authenticated, service_role;
