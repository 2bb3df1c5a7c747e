-- Why: alerts, the table of their workflow, and a timeline of every change. 0019 enforces them.
-- Locks: ACCESS EXCLUSIVE on moonpay_compliance_alerts where an earlier version of it exists, for the time of one scan.
-- Older program: an older hand-made program may go on writing.
-- Long because: it makes one table with its checks, columns and comments, fresh and adopted.

create function moonguard.risk_level(p_score integer) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case when p_score >= 85 then 'extreme' when p_score >= 70 then 'high' when p_score >= 40 then 'medium' when p_score >= 0 then 'low' end
$$;

create table moonguard.moonpay_compliance_alerts (
  id uuid not null default moonguard.uuid_v7(),
  alert_id text not null default 'alert_' || replace(moonguard.uuid_v7()::text, '-', ''),
  alert_type text,
  severity text not null default 'medium',
  status text not null default 'open',
  customer_id text,
  transaction_id text,
  entity_type text,
  entity_id text,
  risk_score integer,
  risk_level text,
  title text not null,
  description text,
  details jsonb not null default '{}',
  screening_results jsonb,
  recommended_actions text[] not null default '{}',
  assigned_to text,
  reviewed_by text,
  resolved_by text,
  escalated_to text,
  resolution_notes text,
  auto_generated boolean not null default false,
  source text,
  external_reference text,
  related_alerts text[] not null default '{}',
  metadata jsonb not null default '{}',
  triggered_at timestamptz not null default now(),
  reviewed_at timestamptz,
  resolved_at timestamptz,
  escalated_at timestamptz,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  status_reason text,
  due_at timestamptz,
  dedupe_key text,
  occurrence_count integer not null default 1,
  version integer not null default 1,
  archived_at timestamptz,
  wallet_address text,
  correlation_id text,
  fingerprint text,
  group_id uuid,
  merged_into uuid,
  suppression_id uuid,
  peak_severity text,
  proposed_status text,
  proposed_by text,
  proposed_at timestamptz,
  proposed_notes text,
  first_reviewed_at timestamptz,
  queue text,
  deadline_step text not null default 'none',
  next_step_at timestamptz,
  breached_at timestamptz,
  constraint moonpay_compliance_alerts_pkey primary key (id),
  constraint moonpay_compliance_alerts_alert_id_key unique (alert_id)
);

select moonguard.begin_adoption('moonpay_compliance_alerts');

-- What an earlier version left: clear cases are put right, the rest is reported by the checks below.
do $adopt$
begin
  if not exists (select from moonguard.adopted_tables where table_name = 'moonpay_compliance_alerts') then
    return;
  end if;

  with broken as (
    select id, alert_id, row_number() over (partition by alert_id order by created_at, id) > 1 as is_taken from public.moonpay_compliance_alerts
    where alert_id <> ''
  ), renamed as (
    update public.moonpay_compliance_alerts a set alert_id = a.alert_id || '_' || replace(a.id::text, '-', '')
    from broken where broken.id = a.id and broken.is_taken
    returning a.id, broken.alert_id as earlier, a.alert_id
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_compliance_alerts', id::text, format('alert_id %s is in another row too', earlier), 'corrected: is ' || alert_id || ' now' from renamed;

  update public.moonpay_compliance_alerts set metadata = nullif(metadata, 'null'), details = nullif(details, 'null')
  where 'null' in (metadata, details);
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_compliance_alerts', id::text, 'title is empty', 'corrected: is ' || coalesce(nullif(alert_type, ''), 'Alert') || ' now'
  from public.moonpay_compliance_alerts where coalesce(title, '') !~ '\S';
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_compliance_alerts', id::text, 'metadata is no object', 'corrected: kept under the key "value"'
  from public.moonpay_compliance_alerts where jsonb_typeof(metadata) <> 'object';
  update public.moonpay_compliance_alerts set
    alert_id = coalesce(nullif(alert_id, ''), 'alert_' || replace(id::text, '-', '')),
    customer_id = nullif(customer_id, ''), transaction_id = nullif(transaction_id, ''), entity_type = nullif(entity_type, ''), entity_id = nullif(entity_id, ''),
    assigned_to = nullif(assigned_to, ''), reviewed_by = nullif(reviewed_by, ''), resolved_by = nullif(resolved_by, ''), escalated_to = nullif(escalated_to, ''),
    source = nullif(source, ''), external_reference = nullif(external_reference, ''), wallet_address = nullif(wallet_address, ''),
    correlation_id = nullif(correlation_id, ''), fingerprint = nullif(fingerprint, ''), queue = nullif(queue, ''),
    proposed_by = nullif(proposed_by, ''), dedupe_key = nullif(dedupe_key, ''),
    alert_type = lower(trim(alert_type)),
    severity = lower(trim(severity)),
    status = lower(trim(status)),
    risk_level = coalesce(lower(trim(risk_level)), moonguard.risk_level(risk_score)),
    title = case when title ~ '\S' then title else coalesce(nullif(alert_type, ''), 'Alert') end,
    metadata = case when jsonb_typeof(metadata) = 'object' then metadata when metadata is not null then jsonb_build_object('value', metadata) end,
    created_at = coalesce(created_at, triggered_at, updated_at, now()),
    triggered_at = coalesce(triggered_at, created_at, updated_at, now()),
    updated_at = coalesce(updated_at, created_at, triggered_at, now());

  -- Before archived_at there was metadata.archived. Text that plainly says true or false is taken at its word.
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_compliance_alerts', id::text, 'metadata.archived is no boolean: ' || (metadata -> 'archived')::text,
    case when lower(metadata ->> 'archived') in ('true', 'false') then 'corrected: read as ' || lower(metadata ->> 'archived')
      else 'left: the alert counts as not archived' end
  from public.moonpay_compliance_alerts where metadata ? 'archived' and jsonb_typeof(metadata -> 'archived') <> 'boolean';
  update public.moonpay_compliance_alerts
  set metadata = jsonb_set(metadata, '{archived}', to_jsonb(lower(metadata ->> 'archived') = 'true'))
  where jsonb_typeof(metadata -> 'archived') = 'string' and lower(metadata ->> 'archived') in ('true', 'false');
  update public.moonpay_compliance_alerts set archived_at = coalesce(updated_at, resolved_at, now())
  where metadata -> 'archived' = 'true' and archived_at is null;

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_compliance_alerts', id::text,
    status || ' without ' || case when coalesce(resolved_by, '') = '' and coalesce(resolution_notes, '') = '' then 'a person and notes'
      when coalesce(resolved_by, '') = '' then 'a person' else 'notes' end,
    'left: nobody can say now who decided it'
  from public.moonpay_compliance_alerts
  where status in ('resolved', 'dismissed') and (coalesce(resolved_by, '') = '' or coalesce(resolution_notes, '') = '');
end
$adopt$;

select moonguard.finish_adoption('moonpay_compliance_alerts');

-- Room beside each row for its next versions: a new link to it then writes none of the indexes. Measured with ten links a new alert: 2.5 times
-- less work with it.
alter table public.moonpay_compliance_alerts set (fillfactor = 75);

select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_alert_type_check',
  $$alert_type is not null and alert_type in ('aml_screening', 'sanctions_check', 'pep_screening', 'transaction_monitoring', 'kyc_verification',
    'suspicious_activity', 'risk_threshold', 'policy_violation', 'document_verification', 'identity_verification', 'address_verification')$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_severity_check',
  $$severity in ('low', 'medium', 'high', 'critical')$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_status_check',
  $$status in ('open', 'in_review', 'resolved', 'dismissed', 'escalated')$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_risk_score_check', $$risk_score between 0 and 100$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_risk_level_check',
  $$risk_level in ('low', 'medium', 'high', 'extreme')$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_metadata_check', $$jsonb_typeof(metadata) = 'object'$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_occurrence_count_check', $$occurrence_count > 0$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_proposed_status_check', $$proposed_status in ('resolved', 'dismissed')$$);
select moonguard.add_check('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_deadline_step_check', $$deadline_step in ('none', 'running', 'warned', 'breached')$$);

-- As in src/input/fields.ts: what an index entry can hold, and text for people; of jsonb, which as text has more blanks, what 256 KiB
-- of JSON can be at most. One rule that a trigger asks, because PostgreSQL reads and plans every check anew for each statement: as 24
-- checks they were an eighth of the time of a new alert.
create function moonguard.missized_alert_column(p_alert public.moonpay_compliance_alerts) returns text
language plpgsql immutable set search_path = '' as $$
begin
  return case
    when octet_length(p_alert.title) > 65536 or p_alert.title !~ '\S' then 'title'
    when octet_length(p_alert.description) > 65536 then 'description'
    when octet_length(p_alert.resolution_notes) > 65536 then 'resolution_notes'
    when octet_length(p_alert.status_reason) > 65536 then 'status_reason'
    when octet_length(p_alert.proposed_notes) > 65536 then 'proposed_notes'
    when length(p_alert.customer_id) not between 1 and 500 then 'customer_id'
    when length(p_alert.transaction_id) not between 1 and 500 then 'transaction_id'
    when length(p_alert.entity_type) not between 1 and 100 then 'entity_type'
    when length(p_alert.entity_id) not between 1 and 500 then 'entity_id'
    when length(p_alert.wallet_address) not between 1 and 500 then 'wallet_address'
    when length(p_alert.correlation_id) not between 1 and 500 then 'correlation_id'
    when length(p_alert.fingerprint) not between 1 and 500 then 'fingerprint'
    when length(p_alert.dedupe_key) not between 1 and 800 then 'dedupe_key'
    when length(p_alert.source) not between 1 and 500 then 'source'
    when length(p_alert.external_reference) not between 1 and 500 then 'external_reference'
    when length(p_alert.queue) not between 1 and 500 then 'queue'
    when length(p_alert.assigned_to) not between 1 and 500 then 'assigned_to'
    when length(p_alert.reviewed_by) not between 1 and 500 then 'reviewed_by'
    when length(p_alert.escalated_to) not between 1 and 500 then 'escalated_to'
    when length(p_alert.proposed_by) not between 1 and 500 then 'proposed_by'
    when length(p_alert.resolved_by) not between 1 and 500 then 'resolved_by'
    when octet_length(p_alert.details::text) > 524288 then 'details'
    when octet_length(p_alert.screening_results::text) > 524288 then 'screening_results'
    when octet_length(p_alert.metadata::text) > 524288 then 'metadata'
  end;
end
$$;
comment on function moonguard.missized_alert_column(public.moonpay_compliance_alerts) is 'The first column of an alert that holds too much, or nothing; null: none does.';

create function moonguard.refuse_missized_alert() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_column text := moonguard.missized_alert_column(new);
begin
  if v_column is not null then
    raise exception using errcode = 'check_violation', constraint = format('moonpay_compliance_alerts_%s_check', v_column),
      message = format('%s holds nothing or too much', v_column);
  end if;
  return new;
end
$$;
-- After what the other triggers make of status and proposed_status.
create trigger alert_before_9_sizes
  before insert or update of title, description, resolution_notes, status_reason, proposed_notes, customer_id, transaction_id, entity_type, entity_id,
    wallet_address, correlation_id, fingerprint, dedupe_key, source, external_reference, queue, assigned_to, reviewed_by, escalated_to, proposed_by,
    resolved_by, details, screening_results, metadata, status, proposed_status on public.moonpay_compliance_alerts
  for each row execute function moonguard.refuse_missized_alert();
do $sizes$
declare
  v_column text;
begin
  for v_column in
    select distinct moonguard.missized_alert_column(a) from public.moonpay_compliance_alerts a where moonguard.missized_alert_column(a) is not null
  loop
    perform moonguard.report_breaches('public.moonpay_compliance_alerts', format('moonpay_compliance_alerts_%s_check', v_column),
      format('moonguard.missized_alert_column(new) is distinct from %L', v_column));
  end loop;
end
$sizes$;

-- One alert under work for one cause: a further hit raises its count.
create unique index moonpay_compliance_alerts_open_dedupe_key on public.moonpay_compliance_alerts (dedupe_key)
  where status in ('open', 'in_review', 'escalated');
-- The work list: what is not decided. Few rows whatever the history is, and counted without reading the alerts.
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_worklist_idx', $$(triggered_at, id) include (status, assigned_to, due_at, archived_at, merged_into) where status in ('open', 'in_review', 'escalated')$$);
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_customer_id_idx', '(customer_id, triggered_at)');
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_transaction_id_idx', '(transaction_id, triggered_at)');
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_entity_idx', '(entity_id, entity_type)');
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_triggered_at_idx', '(triggered_at, id)');
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_assigned_to_idx', $$(assigned_to, status) where assigned_to is not null$$);
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_details_idx', $$using gin (details jsonb_path_ops)$$);
select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_metadata_idx', $$using gin (metadata jsonb_path_ops)$$);

-- The workflow. src/compliance/workflow.ts holds the same table; a test compares them.
create table moonguard.alert_moves (
  from_status text not null,
  to_status text not null,
  needs text not null,
  primary key (from_status, to_status),
  constraint alert_moves_needs_check check (needs in ('nothing', 'reason', 'notes_and_person'))
);
comment on table moonguard.alert_moves is 'Which status an alert may go to from which, and what the move needs.';
insert into moonguard.alert_moves (from_status, to_status, needs) values
  ('open', 'in_review', 'nothing'),
  ('open', 'escalated', 'nothing'),
  ('open', 'resolved', 'notes_and_person'),
  ('open', 'dismissed', 'notes_and_person'),
  ('in_review', 'open', 'nothing'),
  ('in_review', 'escalated', 'nothing'),
  ('in_review', 'resolved', 'notes_and_person'),
  ('in_review', 'dismissed', 'notes_and_person'),
  ('escalated', 'in_review', 'nothing'),
  ('escalated', 'resolved', 'notes_and_person'),
  ('escalated', 'dismissed', 'notes_and_person'),
  ('resolved', 'open', 'reason'),
  ('dismissed', 'open', 'reason');

-- As attachmentSchema in src/compliance/timeline.ts. A function, because PostgreSQL reads the text of every check anew for each
-- statement: written out it was a third of the time of an entry.
create function moonguard.is_attachment(p_value jsonb) returns boolean
language plpgsql immutable strict parallel safe set search_path = '' as $$
begin
  return coalesce(p_value - '{name,uri,sha256,bytes}'::text[] = '{}'
    and jsonb_typeof(p_value -> 'name') = 'string' and length(p_value ->> 'name') between 1 and 500
    and jsonb_typeof(p_value -> 'uri') = 'string' and length(p_value ->> 'uri') <= 2000 and p_value ->> 'uri' ~* '^[a-z][a-z0-9+.-]*:\S+$'
    and jsonb_typeof(p_value -> 'sha256') = 'string' and p_value ->> 'sha256' ~ '^[0-9a-f]{64}$'
    and jsonb_typeof(p_value -> 'bytes') = 'number' and p_value ->> 'bytes' ~ '^\d{1,15}$', false);
end
$$;

create table moonguard.alert_timeline (
  id uuid primary key default moonguard.uuid_v7(),
  alert_id uuid not null references public.moonpay_compliance_alerts (id),
  alert_version integer not null,
  entry_number bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  action text not null,
  from_status text,
  to_status text,
  reason text,
  before jsonb not null,
  after jsonb not null,
  mentions text[] not null default '{}',
  attachment jsonb,
  constraint alert_timeline_action_check
    check (action in ('created', 'moved', 'changed', 'hit', 'commented', 'attached', 'warned', 'breached')),
  constraint alert_timeline_reason_check check (octet_length(reason) <= 65536 and (action <> 'commented' or coalesce(reason, '') ~ '\S')),
  constraint alert_timeline_mentions_check
    check (cardinality(mentions) <= 100 and array_position(mentions, null) is null and octet_length(array_to_string(mentions, '')) <= 65536),
  constraint alert_timeline_attachment_check check ((action = 'attached') = (attachment is not null) and moonguard.is_attachment(attachment))
);
create index alert_timeline_alert_id_idx on moonguard.alert_timeline (alert_id, entry_number);
comment on table moonguard.alert_timeline is 'Every change of every alert, append-only: who, when, what it was and what it became.';
comment on column moonguard.alert_timeline.entry_number is 'Order of the entries of an alert; times may be equal.';
comment on column moonguard.alert_timeline.before is 'The columns that changed, as they were; empty for a new alert.';
comment on column moonguard.alert_timeline.after is 'The columns that changed, as they became; the whole row for a new alert.';
comment on column moonguard.alert_timeline.mentions is 'Ids of the people that a comment speaks to.';
comment on column moonguard.alert_timeline.attachment is 'A reference to a document kept elsewhere: name, uri, sha256, bytes.';

create function moonguard.begin_alert_timeline() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.alert_timeline (alert_id, alert_version, actor, action, to_status, reason, before, after)
  -- session_user, not current_user: the function runs as its owner.
  values (new.id, new.version, coalesce(moonguard.current_actor(), new.resolved_by, new.reviewed_by, session_user), 'created', new.status,
    coalesce(case when new.status in ('resolved', 'dismissed') then new.resolution_notes end, new.status_reason), '{}', to_jsonb(new));
  return null;
end
$$;
create trigger alert_after_1_timeline after insert on public.moonpay_compliance_alerts
  for each row execute function moonguard.begin_alert_timeline();

create function moonguard.continue_alert_timeline() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old);
  v_after jsonb := to_jsonb(new);
begin
  select coalesce(jsonb_object_agg(key, value), '{}') into v_after
  from jsonb_each(v_after) where value is distinct from v_before -> key and key not in ('version', 'updated_at');
  if v_after = '{}' then
    return null;
  end if;
  select jsonb_object_agg(key, value) into v_before from jsonb_each(v_before) where v_after ? key;
  insert into moonguard.alert_timeline (alert_id, alert_version, at, actor, action, from_status, to_status, reason, before, after)
  values (
    new.id, new.version,
    case when new.version <> old.version then new.updated_at else clock_timestamp() end,
    coalesce(moonguard.current_actor(), v_after ->> 'resolved_by', v_after ->> 'reviewed_by', session_user),
    case when new.status <> old.status then 'moved'
      when new.occurrence_count > old.occurrence_count then 'hit'
      when new.deadline_step in ('warned', 'breached') and new.deadline_step <> old.deadline_step then new.deadline_step else 'changed' end,
    old.status, new.status,
    case when new.status <> old.status
      then coalesce(case when new.status in ('resolved', 'dismissed') then new.resolution_notes end, new.status_reason) end,
    v_before, v_after);
  return null;
end
$$;
-- Where nothing but links changed, moonguard.note_links writes the entries, all of a statement at once.
create trigger alert_after_1_timeline_changed after update on public.moonpay_compliance_alerts
  for each row when (new.related_alerts is not distinct from old.related_alerts
    or (new.version, new.group_id, new.queue, new.deadline_step, new.next_step_at)
      is distinct from (old.version, old.group_id, old.queue, old.deadline_step, old.next_step_at))
  execute function moonguard.continue_alert_timeline();

-- What people add. They may write these columns and no others; who it was and about which version is found here.
create function moonguard.alert_timeline_before_insert() returns trigger
language plpgsql set search_path = '' as $$
begin
  if new.action not in ('commented', 'attached') then
    return new;
  end if;
  new.actor := moonguard.current_actor();
  if new.actor is null then
    raise exception using
      errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_actor',
      message = 'nobody writes to a timeline: say who acts', hint = 'Set moonguard.actor, or sign in.';
  end if;
  -- Seen with the writer's eyes: to whoever may see no alert, there is none.
  select version into new.alert_version from public.moonpay_compliance_alerts where id = new.alert_id;
  if not found then
    raise exception using
      errcode = 'foreign_key_violation', constraint = 'alert_timeline_alert_id_fkey', message = 'there is no alert with this id';
  end if;
  new.at := clock_timestamp();
  new.before := '{}';
  new.after := '{}';
  return new;
end
$$;
create trigger alert_timeline_before_insert before insert on moonguard.alert_timeline
  for each row execute function moonguard.alert_timeline_before_insert();

create function moonguard.refuse_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  raise exception using
    errcode = 'restrict_violation', constraint = tg_table_name || '_append_only',
    message = format('%s is append-only: %s is refused', tg_table_name, lower(tg_op)), hint = 'Write a further row.';
end
$$;
create trigger alert_timeline_append_only before update or delete on moonguard.alert_timeline
  for each row execute function moonguard.refuse_change();
create trigger alert_timeline_no_truncate before truncate on moonguard.alert_timeline
  for each statement execute function moonguard.refuse_change();

select moonguard.put_back('moonpay_compliance_alerts');

comment on table public.moonpay_compliance_alerts is 'Findings that somebody must work on, and what became of them.';
comment on column public.moonpay_compliance_alerts.alert_id is 'Name for people and programs; the row''s id serves as well.';
comment on column public.moonpay_compliance_alerts.risk_score is '0 to 100.';
comment on column public.moonpay_compliance_alerts.risk_level is 'low, medium (from 40), high (from 70), extreme (from 85); derived from the score when not given.';
comment on column public.moonpay_compliance_alerts.customer_id is 'MoonPay''s id of the customer, or yours.';
comment on column public.moonpay_compliance_alerts.status_reason is 'Why it was moved to this status; needed to reopen.';
comment on column public.moonpay_compliance_alerts.related_alerts is 'alert_id of alerts about the same matter.';
comment on column public.moonpay_compliance_alerts.due_at is 'By when somebody must have decided it.';
comment on column public.moonpay_compliance_alerts.dedupe_key is 'Hits with the same key go into one alert while it is not decided.';
comment on column public.moonpay_compliance_alerts.occurrence_count is 'How many hits it stands for.';
comment on column public.moonpay_compliance_alerts.version is 'Rises by one with each change: compare it to see whether somebody was faster.';
comment on column public.moonpay_compliance_alerts.archived_at is 'Out of the daily lists; still there.';
comment on column public.moonpay_compliance_alerts.id is 'UUIDv7.';
comment on column public.moonpay_compliance_alerts.alert_type is 'What kind of finding it is.';
comment on column public.moonpay_compliance_alerts.severity is 'low, medium, high, critical: how soon somebody must look.';
comment on column public.moonpay_compliance_alerts.status is 'open, in_review, escalated, resolved, dismissed; the moves between them are in moonguard.alert_moves.';
comment on column public.moonpay_compliance_alerts.transaction_id is 'MoonPay''s id of the transaction, or yours.';
comment on column public.moonpay_compliance_alerts.entity_type is 'What entity_id names, where it is neither a customer nor a transaction.';
comment on column public.moonpay_compliance_alerts.entity_id is 'What the alert is about.';
comment on column public.moonpay_compliance_alerts.title is 'One line for the work list.';
comment on column public.moonpay_compliance_alerts.description is 'What was found, for people.';
comment on column public.moonpay_compliance_alerts.details is 'What was found, for programs.';
comment on column public.moonpay_compliance_alerts.screening_results is 'Hits of a list screening, as they came.';
comment on column public.moonpay_compliance_alerts.recommended_actions is 'What to do, one entry a step.';
comment on column public.moonpay_compliance_alerts.assigned_to is 'Who works on it; null: nobody yet.';
comment on column public.moonpay_compliance_alerts.reviewed_by is 'Who took it into review.';
comment on column public.moonpay_compliance_alerts.resolved_by is 'Who resolved or dismissed it.';
comment on column public.moonpay_compliance_alerts.escalated_to is 'Whom it was escalated to.';
comment on column public.moonpay_compliance_alerts.resolution_notes is 'Why it was resolved or dismissed.';
comment on column public.moonpay_compliance_alerts.auto_generated is 'Made by a rule, not by a person.';
comment on column public.moonpay_compliance_alerts.source is 'Which part or program made it.';
comment on column public.moonpay_compliance_alerts.external_reference is 'Its id in a system outside.';
comment on column public.moonpay_compliance_alerts.metadata is 'Yours.';
comment on column public.moonpay_compliance_alerts.triggered_at is 'When what it is about happened.';
comment on column public.moonpay_compliance_alerts.reviewed_at is 'When it was last taken into review.';
comment on column public.moonpay_compliance_alerts.resolved_at is 'When it was resolved or dismissed; a year later it is archived.';
comment on column public.moonpay_compliance_alerts.escalated_at is 'When it was last escalated.';
comment on column public.moonpay_compliance_alerts.created_at is 'When the row was made.';
comment on column public.moonpay_compliance_alerts.updated_at is 'When the row last changed.';
comment on column public.moonpay_compliance_alerts.wallet_address is 'The wallet it is about.';
comment on column public.moonpay_compliance_alerts.correlation_id is 'What belongs to one matter has one.';
comment on column public.moonpay_compliance_alerts.fingerprint is 'What exactly was found, such as an entry of a list; a suppression can name it.';
comment on column public.moonpay_compliance_alerts.group_id is 'The first alert of its group, by id; null: its own id.';
comment on column public.moonpay_compliance_alerts.merged_into is 'id of the alert that it is worked on with.';
comment on column public.moonpay_compliance_alerts.suppression_id is 'The suppression by which it was dismissed when it came.';
comment on column public.moonpay_compliance_alerts.peak_severity is 'The worst severity it ever had: four-eyes goes by it.';
comment on column public.moonpay_compliance_alerts.proposed_status is 'The decision that somebody proposed: resolved or dismissed.';
comment on column public.moonpay_compliance_alerts.proposed_by is 'Who proposed it; under four-eyes another person decides.';
comment on column public.moonpay_compliance_alerts.proposed_at is 'When it was proposed.';
comment on column public.moonpay_compliance_alerts.proposed_notes is 'Why it was proposed.';
comment on column public.moonpay_compliance_alerts.first_reviewed_at is 'When somebody first took it into review or decided it.';
comment on column public.moonpay_compliance_alerts.queue is 'The queue that hands it out.';
comment on column public.moonpay_compliance_alerts.deadline_step is 'none, running, warned, breached: how far the deadline of an undecided alert has got.';
comment on column public.moonpay_compliance_alerts.next_step_at is 'When the schedule must look at its deadline.';
comment on column public.moonpay_compliance_alerts.breached_at is 'When it was first overdue.';
