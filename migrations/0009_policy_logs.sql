-- Why: the log of policy decisions: append-only, partitioned by month of executed_at, removed only by its retention.
-- Locks: an earlier, unpartitioned log is locked while its rows are copied into the partitions.
-- Older program: an older hand-made program may go on inserting; it can no longer update or delete.

-- A key on id alone cannot be kept on a table that is partitioned by time, so keys that point here go. Functions that
-- give rows of the table are made again for the new one.
do $set_aside$
declare
  v_old regclass := to_regclass('public.moonpay_policy_logs');
  v_grants aclitem[] := (select relacl from pg_catalog.pg_class where oid = v_old);
  v_function record;
  v_key record;
begin
  if v_old is null then
    return;
  end if;
  perform moonguard.take_down(v_old);
  for v_function in
    select p.oid::regprocedure as name, moonguard.function_script(p.oid) as script
    from pg_catalog.pg_proc p
    where p.oid in (select d.objid from pg_catalog.pg_depend d join pg_catalog.pg_type t on t.oid = d.refobjid
      where d.classid = 'pg_catalog.pg_proc'::regclass and d.refclassid = 'pg_catalog.pg_type'::regclass and t.typrelid = v_old)
  loop
    begin
      execute format('drop function %s', v_function.name);
      update moonguard.adopted_tables set to_put_back = to_put_back || v_function.script where table_name = 'moonpay_policy_logs';
    exception when dependent_objects_still_exist then
      -- Reported when the earlier table cannot be dropped.
      null;
    end;
  end loop;
  update moonguard.adopted_tables
  set to_put_back = to_put_back || format('select moonguard.restore_grants(%L, %L)', 'public.moonpay_policy_logs', v_grants)
    || array(select format('alter publication %I add table public.moonpay_policy_logs', p.pubname)
      from pg_catalog.pg_publication_rel r join pg_catalog.pg_publication p on p.oid = r.prpubid where r.prrelid = v_old)
  where table_name = 'moonpay_policy_logs';
  for v_key in
    select conrelid::regclass as table_name, conname, pg_catalog.pg_get_constraintdef(oid) as definition
    from pg_catalog.pg_constraint where confrelid = v_old and conrelid <> v_old and conparentid = 0
  loop
    execute format('alter table %s drop constraint %I', v_key.table_name, v_key.conname);
    perform moonguard.report_finding('moonpay_policy_logs', null, format('the key %s of %s points here: %s', v_key.conname, v_key.table_name, v_key.definition),
      'corrected: dropped; the log is partitioned by time and has no key on id alone');
  end loop;
  alter table public.moonpay_policy_logs set schema moonguard;
end
$set_aside$;

create table public.moonpay_policy_logs (
  id uuid not null default moonguard.uuid_v7(),
  log_id text not null default '',
  policy_id text not null,
  policy_name text,
  policy_type text not null default 'compliance_rule',
  policy_version integer,
  decision_id uuid,
  action_type text not null,
  execution_status text not null default 'success',
  entity_type text,
  entity_id text,
  customer_id text,
  transaction_id text,
  inputs jsonb,
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
  retain_until timestamptz,
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

-- What an erasure leaves in place of all that may be about a person. What kind of decision it was, when, and for how long
-- the row is kept stays.
create function moonguard.erased_policy_log() returns jsonb
language sql immutable parallel safe set search_path = '' as $$
  select jsonb_object_agg(name, null) || '{"executed_by": "erased", "metadata": {}}'
  from unnest('{triggered_by,approved_by,session_id,ip_address,user_agent,entity_type,entity_id,customer_id,transaction_id,inputs,rule_conditions,rule_results,violation_details,before_state,after_state,reason,notes,action_taken}'::text[]) as name
$$;

create function moonguard.refuse_policy_log_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- The retention functions run as the owner and set this for the time of one statement. A role that was granted DELETE
  -- or UPDATE by mistake gains nothing by setting it.
  if current_setting('moonguard.retention', true) = 'on'
      and current_user = (select pg_catalog.pg_get_userbyid(relowner) from pg_catalog.pg_class where oid = tg_relid) then
    if tg_op = 'DELETE' then
      return old;
    end if;
    -- An erasure, and nothing else.
    if tg_op = 'UPDATE' and to_jsonb(new) = to_jsonb(old) || moonguard.erased_policy_log() then
      return new;
    end if;
  end if;
  raise exception using
    errcode = 'restrict_violation', constraint = 'moonpay_policy_logs_append_only',
    message = format('moonpay_policy_logs is append-only: %s is refused', lower(tg_op)),
    hint = case tg_op when 'UPDATE' then 'Write a further row.' else 'Rows go at the end of their retention: select cleanup_old_moonpay_policy_logs().' end;
end
$$;

-- A partition is read and written through its parent only, whatever default privileges gave away when it was made.
create function moonguard.protect_policy_log_partition(p_partition regclass) returns void
language plpgsql set search_path = '' as $$
begin
  execute format('revoke all on %s from public, anon, authenticated, service_role', p_partition);
  execute format('alter table %s enable row level security', p_partition);
  execute format('create policy through_the_parent_only on %s using (false)', p_partition);
  execute format('create trigger moonpay_policy_logs_no_truncate before truncate on %s
    for each statement execute function moonguard.refuse_policy_log_change()', p_partition);
end
$$;
select moonguard.protect_policy_log_partition('moonguard_partitions.moonpay_policy_logs_default');

create function moonguard.ensure_policy_log_partition(p_month date) returns boolean
language plpgsql security definer set search_path = '' as $$
declare
  -- Months are those of UTC, whatever time zone a session has: partitions made by two sessions must not overlap.
  v_from timestamptz := date_trunc('month', p_month::timestamp) at time zone 'UTC';
  v_to timestamptz := (date_trunc('month', p_month::timestamp) + interval '1 month') at time zone 'UTC';
  v_partition text := format('moonguard_partitions.%I', 'moonpay_policy_logs_' || to_char(p_month, 'YYYY_MM'));
begin
  perform pg_advisory_xact_lock(hashtextextended('moonguard.ensure_policy_log_partition', 0));
  if to_regclass(v_partition) is not null then
    return false;
  end if;
  execute format('create table %s (like public.moonpay_policy_logs including defaults including constraints)', v_partition);
  -- A month that begins with rows in the default partition takes them over.
  perform set_config('moonguard.retention', 'on', true);
  execute format(
    'with moved as (delete from moonguard_partitions.moonpay_policy_logs_default where executed_at >= %L and executed_at < %L returning *)
     insert into %s select * from moved', v_from, v_to, v_partition);
  perform set_config('moonguard.retention', '', true);
  perform moonguard.protect_policy_log_partition(v_partition);
  execute format('alter table public.moonpay_policy_logs attach partition %s for values from (%L) to (%L)', v_partition, v_from, v_to);
  return true;
end
$$;
comment on function moonguard.ensure_policy_log_partition(date) is 'Makes the partition of a month (UTC) unless it is there; true when it was made.';

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
  v_old regclass := to_regclass('moonguard.moonpay_policy_logs');
  v_column record;
  v_targets text;
  v_values text;
  v_count bigint;
  v_copied bigint;
begin
  if v_old is null then
    return;
  end if;
  perform moonguard.retire_handmade_rules(v_old, 'public.moonpay_policy_logs');
  perform moonguard.adopt_columns(v_old, 'public.moonpay_policy_logs');

  for v_column in
    select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type,
      case when a.attgenerated <> '' then '; it is not computed any more' when a.attidentity <> '' then '; it is not numbered any more' else '' end as loss,
      case when a.attgenerated = '' then pg_catalog.pg_get_expr(d.adbin, d.adrelid) end as default_value,
      -- A serial's sequence came along when the table was set aside.
      (select c.relname from pg_catalog.pg_class c where c.oid = pg_catalog.pg_get_serial_sequence(v_old::text, a.attname)::regclass and a.attidentity = '') as sequence
    from pg_catalog.pg_attribute a
    left join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = v_old and a.attnum > 0 and not a.attisdropped
      and not exists (select from pg_catalog.pg_attribute n where n.attrelid = 'public.moonpay_policy_logs'::regclass and n.attname = a.attname)
  loop
    execute format('alter table public.moonpay_policy_logs add column %I %s', v_column.name, v_column.type);
    if v_column.sequence is not null then
      execute format('alter sequence moonguard.%1$I owned by none; alter sequence moonguard.%1$I set schema public;
        alter sequence public.%1$I owned by public.moonpay_policy_logs.%2$I', v_column.sequence, v_column.name);
      v_column.default_value := format('nextval(%L)', format('public.%I', v_column.sequence));
    end if;
    if v_column.default_value is not null then
      execute format('alter table public.moonpay_policy_logs alter column %I set default %s', v_column.name, v_column.default_value);
    end if;
    perform moonguard.report_finding('moonpay_policy_logs', null, format('column %s is not ours', v_column.name),
      'corrected: kept with its values' || v_column.loss);
  end loop;

  update moonguard.moonpay_policy_logs l set id = moonguard.uuid_v7()
  from (select ctid, id is null or row_number() over (partition by id) > 1 as is_taken from moonguard.moonpay_policy_logs) identified
  where identified.ctid = l.ctid and identified.is_taken;
  get diagnostics v_count = row_count;
  if v_count > 0 then
    perform moonguard.report_finding('moonpay_policy_logs', null, format('%s rows had no id of their own', v_count), 'corrected: they have one now');
  end if;
  with unclear as (
    select id, retention_period_days as days, case when retention_period_days > 365000 then 365000 else 2555 end as corrected
    from moonguard.moonpay_policy_logs where retention_period_days between 1 and 365000 is not true
  ), corrected as (
    update moonguard.moonpay_policy_logs l set retention_period_days = unclear.corrected from unclear where unclear.id = l.id
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_policy_logs', id::text, 'retention_period_days is ' || coalesce(days::text, 'null'), format('corrected: %s days', corrected) from unclear;
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_policy_logs', id::text, format('log_id %s is in %s rows', log_id, rows), 'left: rows of the log do not change'
  from (select id, log_id, count(*) over (partition by log_id) as rows from moonguard.moonpay_policy_logs where log_id <> '') logged where rows > 1;
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_policy_logs', id::text, missing.reason, 'corrected: ' || missing.resolution
  from moonguard.moonpay_policy_logs, lateral (values
    (executed_at is null, 'executed_at is null', case when created_at is null then 'is the time of the installation now' else 'is created_at now' end),
    (policy_id is null, 'policy_id is null', 'is unknown now'),
    (action_type is null, 'action_type is null', 'is rule_triggered now')) as missing (applies, reason, resolution)
  where missing.applies;
  update moonguard.moonpay_policy_logs set
    log_id = coalesce(nullif(log_id, ''), 'log_' || replace(id::text, '-', '')),
    policy_id = coalesce(policy_id, 'unknown'),
    action_type = coalesce(action_type, 'rule_triggered'),
    executed_at = coalesce(executed_at, created_at, now()),
    created_at = coalesce(created_at, executed_at, now()),
    updated_at = coalesce(updated_at, created_at, executed_at, now())
  where log_id is null or log_id = '' or policy_id is null or action_type is null or executed_at is null or created_at is null or updated_at is null;

  -- Rows of the future too: a row that breaks a check could not move out of the default partition later.
  perform moonguard.ensure_policy_log_partition(month::date) from (
    select distinct date_trunc('month', executed_at at time zone 'UTC') as month from moonguard.moonpay_policy_logs
    where executed_at > now() - interval '20 years' and isfinite(executed_at)) months;

  -- A value that the column may not lack is filled in with its default.
  select string_agg(format('%I', n.attname), ', ' order by n.attnum),
    string_agg(case when n.attnotnull and n.atthasdef then format('coalesce(%I, %s)', n.attname, pg_catalog.pg_get_expr(d.adbin, d.adrelid))
      else format('%I', n.attname) end, ', ' order by n.attnum)
  into v_targets, v_values
  from pg_catalog.pg_attribute n
  left join pg_catalog.pg_attrdef d on d.adrelid = n.attrelid and d.adnum = n.attnum
  where n.attrelid = 'public.moonpay_policy_logs'::regclass and n.attnum > 0 and not n.attisdropped;
  execute format('insert into public.moonpay_policy_logs (%s) select %s from moonguard.moonpay_policy_logs', v_targets, v_values);
  get diagnostics v_copied = row_count;
  select count(*) into v_count from moonguard.moonpay_policy_logs;
  if v_copied <> v_count then
    raise exception 'copied % of % policy log rows', v_copied, v_count;
  end if;

  begin
    drop table moonguard.moonpay_policy_logs;
  exception when dependent_objects_still_exist then
    alter table moonguard.moonpay_policy_logs rename to policy_logs_before_moonguard;
    perform moonguard.report_finding('moonpay_policy_logs', null, 'something holds on to the earlier table: ' || sqlerrm,
      'action needed: point it at the new table, then drop table moonguard.policy_logs_before_moonguard');
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
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_retention_period_days_check', $$retention_period_days between 1 and 365000$$);
select moonguard.add_check('public.moonpay_policy_logs', 'moonpay_policy_logs_metadata_check', $$jsonb_typeof(metadata) = 'object'$$);

create index moonpay_policy_logs_log_id_idx on public.moonpay_policy_logs (log_id);
-- The order of lists and exports: without it each page of a million rows sorts a million rows.
create index moonpay_policy_logs_executed_at_idx on public.moonpay_policy_logs (executed_at, id);
create index moonpay_policy_logs_policy_idx on public.moonpay_policy_logs (policy_id, executed_at);
create index moonpay_policy_logs_entity_idx on public.moonpay_policy_logs (entity_type, entity_id);
create index moonpay_policy_logs_customer_id_idx on public.moonpay_policy_logs (customer_id) where customer_id is not null;
create index moonpay_policy_logs_transaction_id_idx on public.moonpay_policy_logs (transaction_id) where transaction_id is not null;
create index moonpay_policy_logs_correlation_id_idx on public.moonpay_policy_logs (correlation_id) where correlation_id is not null;
-- Rows that may go before the seventh year. Rows as most are cost nothing here, and their months need not be looked at.
create index moonpay_policy_logs_short_retention_idx on public.moonpay_policy_logs (id) where retention_period_days < 2555;
create index moonpay_policy_logs_follow_up_idx on public.moonpay_policy_logs (follow_up_date) where follow_up_required;
-- For the questions of others. Rows of decisions are left out: of them both say what columns say, and five entries a row cost
-- 13 of 48 µs.
create index moonpay_policy_logs_rule_conditions_idx on public.moonpay_policy_logs using gin (rule_conditions jsonb_path_ops)
  where rule_conditions is not null and decision_id is null;
create index moonpay_policy_logs_metadata_idx on public.moonpay_policy_logs using gin (metadata jsonb_path_ops)
  where metadata <> '{}' and decision_id is null;
-- The words of reason and notes, as moonguard.words_of has them: said without it, because whoever may write rows needs no right to
-- a function then, and half of the time is saved. moonguard.search_policy_logs must say the same.
create index moonpay_policy_logs_words_idx on public.moonpay_policy_logs using gin (to_tsvector('pg_catalog.simple',
  translate(left(coalesce(reason, '') || ' ' || coalesce(notes, ''), 200000), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))))
  where reason is not null or notes is not null;

create trigger moonpay_policy_logs_append_only before update or delete on public.moonpay_policy_logs
  for each row execute function moonguard.refuse_policy_log_change();
create trigger moonpay_policy_logs_no_truncate before truncate on public.moonpay_policy_logs
  for each statement execute function moonguard.refuse_policy_log_change();

-- A unique constraint on a partitioned table must contain the partition key, so uniqueness of log_id is looked up. An id
-- made here is new by construction and is spared the look-up in every partition.
create function moonguard.policy_log_before_insert() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if coalesce(new.log_id, '') = '' then
    -- Rows of decisions come in crowds and with an id of their own.
    new.log_id := 'log_' || replace((case when new.decision_id is null then moonguard.uuid_v7() else new.id end)::text, '-', '');
    return new;
  end if;
  perform pg_advisory_xact_lock(hashtextextended('moonpay_policy_logs:' || new.log_id, 0));
  if exists (select from public.moonpay_policy_logs where log_id = new.log_id) then
    raise exception using
      errcode = 'unique_violation', constraint = 'moonpay_policy_logs_log_id_key',
      message = format('log_id %s is in the log already', new.log_id), hint = 'Leave log_id out to get a new one.';
  end if;
  return new;
end
$$;
create trigger moonpay_policy_logs_before_insert before insert on public.moonpay_policy_logs
  for each row execute function moonguard.policy_log_before_insert();

select moonguard.put_back('moonpay_policy_logs');

comment on table public.moonpay_policy_logs is 'What policies decided, on what, and why. Append-only; partitioned by month of executed_at.';
comment on column public.moonpay_policy_logs.log_id is 'Unique across partitions; left out, a new one is made.';
comment on column public.moonpay_policy_logs.policy_version is 'The version of the policy that decided; null for a policy without versions.';
comment on column public.moonpay_policy_logs.decision_id is 'id of the row that sums the decision up; that row names itself.';
comment on column public.moonpay_policy_logs.inputs is 'All that a decision was made from, on the row that sums it up: evaluated again, it comes out the same.';
comment on column public.moonpay_policy_logs.rule_conditions is 'What was asked: source, hash and version of the rules.';
comment on column public.moonpay_policy_logs.rule_results is 'What came out, with the values that mattered.';
comment on column public.moonpay_policy_logs.retention_period_days is 'How long the row is kept after executed_at, unless its retention_class keeps it longer; 2555 days are seven years. At most 365000.';
comment on column public.moonpay_policy_logs.retention_class is 'Which rule of moonguard.retention_rules applies; one that is not there counts as standard.';
comment on column public.moonpay_policy_logs.retain_until is 'Kept until then at least, such as where the time runs from the filing of a report.';
comment on column public.moonpay_policy_logs.correlation_id is 'Same for all that happened because of one event.';
comment on column public.moonpay_policy_logs.executed_at is 'When it was decided.';
comment on column public.moonpay_policy_logs.updated_at is 'As created_at: rows never change.';
comment on column public.moonpay_policy_logs.id is 'UUIDv7.';
comment on column public.moonpay_policy_logs.policy_id is 'external_policy_id of the policy, or any name for one.';
comment on column public.moonpay_policy_logs.policy_name is 'Its name at that time.';
comment on column public.moonpay_policy_logs.policy_type is 'What the policy is about.';
comment on column public.moonpay_policy_logs.action_type is 'What happened: a change of the policy, a decision by it, or a step of a review or approval.';
comment on column public.moonpay_policy_logs.execution_status is 'success, failure, warning, skipped.';
comment on column public.moonpay_policy_logs.entity_type is 'What entity_id names: customer, transaction, account or any other.';
comment on column public.moonpay_policy_logs.entity_id is 'What was decided on.';
comment on column public.moonpay_policy_logs.customer_id is 'The customer concerned; legal holds and reading rights go by it.';
comment on column public.moonpay_policy_logs.transaction_id is 'The transaction concerned.';
comment on column public.moonpay_policy_logs.violation_details is 'What broke the policy, and by how much.';
comment on column public.moonpay_policy_logs.before_state is 'What it was before.';
comment on column public.moonpay_policy_logs.after_state is 'What it became.';
comment on column public.moonpay_policy_logs.triggered_by is 'The event or person that set it off.';
comment on column public.moonpay_policy_logs.executed_by is 'Who or what decided.';
comment on column public.moonpay_policy_logs.approved_by is 'Who approved.';
comment on column public.moonpay_policy_logs.reason is 'Why, in one sentence.';
comment on column public.moonpay_policy_logs.notes is 'Further words, for people.';
comment on column public.moonpay_policy_logs.severity is 'info, warning, error, critical.';
comment on column public.moonpay_policy_logs.compliance_impact is 'none, low, medium, high, critical.';
comment on column public.moonpay_policy_logs.requires_action is 'Somebody has to do something about it.';
comment on column public.moonpay_policy_logs.action_taken is 'What was done.';
comment on column public.moonpay_policy_logs.follow_up_required is 'Kept beyond its retention until a later row says that somebody followed up: {"follows_up": "<log_id>"} in its metadata.';
comment on column public.moonpay_policy_logs.follow_up_date is 'By when.';
comment on column public.moonpay_policy_logs.auto_generated is 'Written by a rule, not by a person.';
comment on column public.moonpay_policy_logs.source is 'Which part or program wrote it.';
comment on column public.moonpay_policy_logs.session_id is 'Session of whoever acted.';
comment on column public.moonpay_policy_logs.ip_address is 'Address of whoever acted.';
comment on column public.moonpay_policy_logs.user_agent is 'Program of whoever acted.';
comment on column public.moonpay_policy_logs.metadata is 'Yours.';
comment on column public.moonpay_policy_logs.created_at is 'When the row was written.';
