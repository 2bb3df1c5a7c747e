-- Why: policies in versions that another person may have to publish, their lists, approvals and exceptions: the same rules for
-- every client, each change in the policy log.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_policies, for the time of a catalogue change.
-- Older program: runs on; its policies have no versions.
-- Long because: versions, lists, approvals and exceptions share the revision, the log of changes and the rules of access.

create function moonguard.policy_actor() returns text
language sql stable set search_path = '' as $$
  select coalesce(moonguard.current_actor(), session_user)
$$;

create function moonguard.refuse_policy_step(p_constraint text, p_message text, p_hint text) returns void
language plpgsql set search_path = '' as $$
begin
  raise exception using errcode = 'check_violation', constraint = p_constraint, message = p_message, hint = p_hint;
end
$$;

create function moonguard.same_person(p_one text, p_other text) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select lower(trim(p_one)) is not distinct from lower(trim(p_other))
$$;

create function moonguard.log_policy_change(p_policy_id text, p_name text, p_type text, p_action text, p_by text, p_reason text, p_before jsonb, p_after jsonb,
  p_about jsonb default '{}') returns void
language sql set search_path = '' as $$
  insert into public.moonpay_policy_logs (policy_id, policy_name, policy_type, action_type, executed_by, approved_by, reason, before_state, after_state,
    entity_type, entity_id, customer_id, transaction_id, correlation_id, auto_generated, source)
  values (p_policy_id, p_name, coalesce(p_type, 'compliance_rule'), p_action, p_by, case when p_action = 'approval_granted' then p_by end, p_reason, p_before, p_after,
    p_about ->> 'entity_type', p_about ->> 'entity_id', p_about ->> 'customer_id', case when p_about ->> 'entity_type' = 'transaction' then p_about ->> 'entity_id' end,
    p_about ->> 'correlation_id', p_by in ('system', 'moonguard'), 'moonguard')
$$;

-- Settings.

create table moonguard.policy_settings (
  is_the_one boolean primary key default true,
  four_eyes boolean not null default false,
  approval_hours integer not null default 72,
  updated_at timestamptz not null default now(),
  updated_by text,
  constraint policy_settings_is_the_one_check check (is_the_one),
  constraint policy_settings_approval_hours_check check (approval_hours between 1 and 8760)
);
insert into moonguard.policy_settings default values;
comment on table moonguard.policy_settings is 'How policies are changed; one row. Its changes are in the policy log.';
comment on column moonguard.policy_settings.four_eyes is 'Whether a version is published by another person than the one who saved it.';
comment on column moonguard.policy_settings.approval_hours is 'How long an approval waits for somebody, and how long one that was granted holds, unless said otherwise.';

create function moonguard.policy_settings_before_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  new.updated_at := clock_timestamp();
  new.updated_by := moonguard.policy_actor();
  return new;
end
$$;
create trigger policy_settings_before_change before update on moonguard.policy_settings
  for each row execute function moonguard.policy_settings_before_change();

create function moonguard.policy_settings_after_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform moonguard.log_policy_change('policy_settings', 'Settings of policies', null, 'policy_updated', new.updated_by, null,
    jsonb_build_object('four_eyes', old.four_eyes, 'approval_hours', old.approval_hours),
    jsonb_build_object('four_eyes', new.four_eyes, 'approval_hours', new.approval_hours));
  return null;
end
$$;
create trigger policy_settings_after_change after update on moonguard.policy_settings
  for each row when ((old.four_eyes, old.approval_hours) is distinct from (new.four_eyes, new.approval_hours))
  execute function moonguard.policy_settings_after_change();

-- The revision: whoever evaluates reads it, and loads policies and lists again when it moved. Whoever changes one of them locks
-- it first, for the rest of his transaction: changes of policies happen one after the other.

create table moonguard.policy_revision (
  is_the_one boolean primary key default true,
  revision bigint not null default 1,
  constraint policy_revision_is_the_one_check check (is_the_one)
);
insert into moonguard.policy_revision default values;
comment on table moonguard.policy_revision is 'Rises with every change of a version, of a list, or of whether a policy is active; one row.';

create function moonguard.advance_policy_revision() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update moonguard.policy_revision set revision = revision + 1;
  return null;
end
$$;

-- Lists.

create table moonguard.policy_lists (
  name text primary key,
  description text,
  case_sensitive boolean not null default true,
  revision bigint not null default 1,
  created_by text not null default session_user,
  created_at timestamptz not null default now(),
  constraint policy_lists_name_check check (name ~ '^[a-z][a-z0-9_]{0,62}$'),
  constraint policy_lists_description_check check (description ~ '\S' and octet_length(description) <= 65536)
);
comment on table moonguard.policy_lists is 'Lists of values that policies look up: wallets, customers, countries.';
comment on column moonguard.policy_lists.name is 'By which a rule names it: event.wallet.address in lists.blocked_wallets.';
comment on column moonguard.policy_lists.description is 'What is on it, for people.';
comment on column moonguard.policy_lists.case_sensitive is 'False: values are kept and looked up in lower case.';
comment on column moonguard.policy_lists.revision is 'Rises with every change of the values.';
comment on column moonguard.policy_lists.created_by is 'Who made it.';
comment on column moonguard.policy_lists.created_at is 'When it was made.';

create table moonguard.policy_list_values (
  list_name text not null references moonguard.policy_lists (name) on delete cascade,
  value text collate "C" not null,
  note text,
  added_by text not null default session_user,
  added_at timestamptz not null default now(),
  primary key (list_name, value),
  constraint policy_list_values_value_check check (length(value) between 1 and 500),
  constraint policy_list_values_note_check check (note ~ '\S' and octet_length(note) <= 65536)
);
comment on table moonguard.policy_list_values is 'What is on the lists. To change a value, remove it and add another one.';
comment on column moonguard.policy_list_values.note is 'Why it is on the list.';

create function moonguard.policy_list_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_used_by text;
begin
  if tg_op = 'INSERT' then
    new.revision := 1;
    new.created_by := moonguard.policy_actor();
    new.created_at := clock_timestamp();
    return new;
  elsif tg_op = 'UPDATE' then
    if (new.name, new.case_sensitive) is distinct from (old.name, old.case_sensitive) then
      perform moonguard.refuse_policy_step('policy_lists_content', 'a list keeps its name and whether it is case sensitive', 'Make another list.');
    end if;
    return new;
  end if;
  select policy_id into v_used_by from moonguard.policy_versions where status in ('active', 'shadow') and document -> 'lists' ? old.name order by policy_id limit 1;
  if found then
    perform moonguard.refuse_policy_step('policy_lists_in_use', format('the policy %s uses the list %s', v_used_by, old.name), 'Publish a version that does not use it first.');
  end if;
  return old;
end
$$;
create trigger policy_list_before_write before insert or update or delete on moonguard.policy_lists
  for each row execute function moonguard.policy_list_before_write();

create function moonguard.policy_list_after_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_list moonguard.policy_lists := coalesce(new, old);
begin
  perform moonguard.log_policy_change('list_' || v_list.name, v_list.name, null,
    case tg_op when 'INSERT' then 'policy_created' when 'UPDATE' then 'policy_updated' else 'policy_deleted' end, moonguard.policy_actor(), null,
    case when tg_op <> 'INSERT' then jsonb_build_object('description', old.description, 'case_sensitive', old.case_sensitive) end,
    case when tg_op <> 'DELETE' then jsonb_build_object('description', new.description, 'case_sensitive', new.case_sensitive) end);
  return null;
end
$$;
create trigger policy_list_after_write after insert or delete on moonguard.policy_lists
  for each row execute function moonguard.policy_list_after_write();
create trigger policy_list_after_change after update of description on moonguard.policy_lists
  for each row when (old.description is distinct from new.description) execute function moonguard.policy_list_after_write();

create function moonguard.policy_list_value_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'UPDATE' then
    perform moonguard.refuse_policy_step('policy_list_values_content', 'a value of a list does not change', 'Remove it and add another one.');
  end if;
  -- A blank that was copied along would make a value that is never found.
  new.value := btrim(new.value, E' \t\r\n');
  if exists (select from moonguard.policy_lists where name = new.list_name and not case_sensitive) then
    new.value := lower(new.value);
  end if;
  new.added_by := moonguard.policy_actor();
  new.added_at := clock_timestamp();
  return new;
end
$$;
create trigger policy_list_value_before_write before insert or update on moonguard.policy_list_values
  for each row execute function moonguard.policy_list_value_before_write();

-- One row of the log for each list and statement; of many values it names the first hundred. That a list is deleted with what is on
-- it the list's own row says.
create function moonguard.policy_list_values_after_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_change record;
begin
  for v_change in
    select list_name, count(*) as changed, to_jsonb((array_agg(value order by value))[:100]) as named, min(note) as note
    from changed_values group by list_name order by list_name
  loop
    update moonguard.policy_lists set revision = revision + 1 where name = v_change.list_name;
    continue when not found;
    perform moonguard.log_policy_change('list_' || v_change.list_name, v_change.list_name, null, 'policy_updated', moonguard.policy_actor(), case tg_op when 'INSERT' then v_change.note end, null,
      jsonb_build_object(case tg_op when 'INSERT' then 'added' else 'removed' end, v_change.changed, 'values', v_change.named));
  end loop;
  return null;
end
$$;
create trigger policy_list_values_after_insert after insert on moonguard.policy_list_values
  referencing new table as changed_values for each statement execute function moonguard.policy_list_values_after_write();
create trigger policy_list_values_after_delete after delete on moonguard.policy_list_values
  referencing old table as changed_values for each statement execute function moonguard.policy_list_values_after_write();

-- Versions. They outlive the policy's row in moonpay_policies: decisions are replayed with them.

create table moonguard.policy_versions (
  id uuid primary key default moonguard.uuid_v7(),
  policy_id text not null,
  version integer not null default 1,
  status text not null default 'draft',
  document jsonb not null,
  hash text not null,
  note text,
  created_by text not null default session_user,
  created_at timestamptz not null default now(),
  published_by text,
  published_at timestamptz,
  replaces integer,
  retired_at timestamptz,
  constraint policy_versions_version_key unique (policy_id, version),
  constraint policy_versions_policy_id_check check (policy_id ~ '^[a-z][a-z0-9_]{0,99}$'),
  constraint policy_versions_status_check check (status in ('draft', 'shadow', 'active', 'retired')),
  constraint policy_versions_document_check check (
    jsonb_typeof(document) = 'object' and document ->> 'id' is not distinct from policy_id and octet_length(document::text) <= 1048576),
  constraint policy_versions_hash_check check (hash ~ '^[0-9a-f]{64}$'),
  constraint policy_versions_note_check check (note ~ '\S' and octet_length(note) <= 65536)
);
create unique index policy_versions_one_active_idx on moonguard.policy_versions (policy_id) where status = 'active';
create unique index policy_versions_one_shadow_idx on moonguard.policy_versions (policy_id) where status = 'shadow';
create unique index policy_versions_one_draft_idx on moonguard.policy_versions (policy_id) where status = 'draft';
create index policy_versions_evaluated_idx on moonguard.policy_versions (status) where status in ('active', 'shadow');
comment on table moonguard.policy_versions is 'What policies say and said: drafts, the versions that are evaluated, and those that were.';
comment on column moonguard.policy_versions.id is 'UUIDv7.';
comment on column moonguard.policy_versions.policy_id is 'external_policy_id of the policy; the id in the document.';
comment on column moonguard.policy_versions.version is 'Counts from 1 for each policy.';
comment on column moonguard.policy_versions.status is 'draft, shadow (evaluated and logged without effect), active, retired; of each but retired a policy has one.';
comment on column moonguard.policy_versions.document is 'The policy as it was written; changes only while it is a draft.';
comment on column moonguard.policy_versions.hash is 'SHA-256 of the document with sorted keys.';
comment on column moonguard.policy_versions.note is 'Why it was saved or moved.';
comment on column moonguard.policy_versions.created_by is 'Who saved it last.';
comment on column moonguard.policy_versions.created_at is 'When it was first saved.';
comment on column moonguard.policy_versions.published_by is 'Who last made it active.';
comment on column moonguard.policy_versions.published_at is 'When it was last made active.';
comment on column moonguard.policy_versions.replaces is 'The version that it took the place of when it was put into shadow or made active; null: none.';
comment on column moonguard.policy_versions.retired_at is 'When it was retired.';

create function moonguard.require_policy_publisher(p_version moonguard.policy_versions) returns void
language plpgsql set search_path = '' as $$
begin
  if not (select four_eyes from moonguard.policy_settings) then
    return;
  end if;
  if moonguard.same_person(p_version.published_by, p_version.created_by) or p_version.published_by = 'system' then
    perform moonguard.refuse_policy_step('policy_versions_second_person', format('%s saved version %s of %s', p_version.created_by, p_version.version, p_version.policy_id),
      'Another person publishes it.');
  end if;
end
$$;

create function moonguard.policy_version_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_allowed text[];
begin
  if tg_op = 'INSERT' then
    -- Nobody counts beside: the revision is locked.
    select coalesce(max(version), 0) + 1 into new.version from moonguard.policy_versions where policy_id = new.policy_id;
    new.created_by := moonguard.policy_actor();
    new.created_at := clock_timestamp();
    select null, null, null, null into new.published_by, new.published_at, new.replaces, new.retired_at;
    -- The policies that come with the program are there from the start; four-eyes is about changes.
    if new.status = 'active' and new.version = 1 and new.created_by = 'moonguard' and not moonguard.is_signed_in() then
      new.published_by := new.created_by;
      new.published_at := new.created_at;
    elsif new.status <> 'draft' then
      perform moonguard.refuse_policy_step('policy_versions_move', 'a new version is a draft', 'Save it first, then publish it.');
    end if;
    return new;
  end if;

  if (new.id, new.policy_id, new.version) is distinct from (old.id, old.policy_id, old.version)
      or (new.document, new.hash) is distinct from (old.document, old.hash) and (old.status, new.status) <> ('draft', 'draft') then
    perform moonguard.refuse_policy_step('policy_versions_content', format('version %s of %s cannot change', old.version, old.policy_id), 'Save another draft.');
  end if;
  select old.created_by, old.created_at, old.published_by, old.published_at, old.replaces, old.retired_at
  into new.created_by, new.created_at, new.published_by, new.published_at, new.replaces, new.retired_at;
  if new.status = old.status then
    if (new.document, new.hash) is distinct from (old.document, old.hash) then
      new.created_by := moonguard.policy_actor();
    end if;
    return new;
  end if;

  -- A note belongs to one step; the last one's does not serve the next.
  if new.note is not distinct from old.note then
    new.note := null;
  end if;
  v_allowed := case old.status when 'draft' then '{shadow,active,retired}' when 'shadow' then '{active,retired}' when 'active' then '{retired}' else '{active}' end;
  if new.status <> all (v_allowed) then
    perform moonguard.refuse_policy_step('policy_versions_move', format('a version that is %s cannot become %s', old.status, new.status),
      format('Allowed from %s: %s.', old.status, array_to_string(v_allowed, ', ')));
  end if;
  if new.status = 'active' then
    new.published_by := moonguard.policy_actor();
    new.published_at := clock_timestamp();
    new.retired_at := null;
    perform moonguard.require_policy_publisher(new);
    update moonguard.policy_versions set status = 'retired' where policy_id = new.policy_id and status = 'active' returning version into new.replaces;
  elsif new.status = 'shadow' then
    update moonguard.policy_versions set status = 'retired' where policy_id = new.policy_id and status = 'shadow' returning version into new.replaces;
  elsif new.status = 'retired' then
    new.retired_at := clock_timestamp();
  end if;
  return new;
end
$$;
create trigger policy_version_before_write before insert or update on moonguard.policy_versions
  for each row execute function moonguard.policy_version_before_write();
create trigger policy_versions_append_only before delete on moonguard.policy_versions for each row execute function moonguard.refuse_change();
create trigger policy_versions_no_truncate before truncate on moonguard.policy_versions for each statement execute function moonguard.refuse_change();

create function moonguard.policy_version_state(p_version moonguard.policy_versions, p_with_document boolean) returns jsonb
language sql immutable set search_path = '' as $$
  select jsonb_strip_nulls(jsonb_build_object('version', p_version.version, 'status', p_version.status, 'replaces', p_version.replaces, 'hash', p_version.hash))
    || case when p_with_document then jsonb_build_object('document', p_version.document) else '{}' end
  where p_version.id is not null
$$;

-- What the register says of a policy that has versions: name, type and rules of the active one.
create function moonguard.policy_kind(p_type text) returns text
language sql immutable parallel safe set search_path = '' as $$
  select case when p_type in ('kyc_policy', 'customer_verification') then 'kyc' when p_type = 'transaction_limit' then 'transaction'
    when p_type = 'risk_assessment' then 'risk' else 'compliance' end
$$;

create function moonguard.register_policy_version(p_version moonguard.policy_versions) returns void
language plpgsql set search_path = '' as $$
declare
  v_name text := coalesce(p_version.document ->> 'name', p_version.policy_id);
  v_kind text := moonguard.policy_kind(p_version.document ->> 'type');
  v_rules jsonb := coalesce(p_version.document -> 'rules', '[]');
begin
  if p_version.status = 'active' then
    update public.moonpay_policies set name = v_name, type = v_kind, rules = v_rules, is_active = true, updated_at = now() where external_policy_id = p_version.policy_id;
  elsif p_version.status = 'retired' then
    update public.moonpay_policies set is_active = false, updated_at = now()
    where external_policy_id = p_version.policy_id and is_active
      and not exists (select from moonguard.policy_versions where policy_id = p_version.policy_id and status = 'active');
    return;
  end if;
  insert into public.moonpay_policies (external_policy_id, name, type, rules, is_active)
  select p_version.policy_id, v_name, v_kind, case when p_version.status = 'active' then v_rules else '[]' end, p_version.status = 'active'
  where not exists (select from public.moonpay_policies where external_policy_id = p_version.policy_id);
end
$$;

create function moonguard.policy_version_after_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_is_saved boolean := tg_op = 'INSERT';
  v_before moonguard.policy_versions;
  v_fields text[];
begin
  if tg_op = 'UPDATE' then
    if new.status = old.status and new.document = old.document then
      return null;
    end if;
    v_is_saved := new.status = old.status;
    v_before := old;
  end if;
  if v_is_saved then
    perform moonguard.log_policy_change(new.policy_id, new.document ->> 'name', new.document ->> 'type',
      case when tg_op = 'INSERT' and new.version = 1 then 'policy_created' else 'policy_updated' end, moonguard.policy_actor(), new.note,
      moonguard.policy_version_state(v_before, true), moonguard.policy_version_state(new, true));
  end if;
  -- Aggregates of a draft too: it is tried on stored events.
  v_fields := array(select jsonb_path_query(new.document, '$.aggregates[*].key.field') #>> '{}');
  if cardinality(v_fields) > 0 and new.status <> 'retired' then
    perform moonguard.declare_event_keys(v_fields);
  end if;
  if new.status = 'active' then
    v_before := null;
    select * into v_before from moonguard.policy_versions where policy_id = new.policy_id and version = new.replaces;
    perform moonguard.log_policy_change(new.policy_id, new.document ->> 'name', new.document ->> 'type', 'policy_activated', new.published_by, new.note,
      -- By now it is retired; until this change it was not.
      moonguard.policy_version_state(v_before, true) || '{"status": "active"}', moonguard.policy_version_state(new, true));
  -- In the trigger of another row, the version is replaced or its policy deleted: the log has that.
  elsif not v_is_saved and pg_trigger_depth() = 1 then
    perform moonguard.log_policy_change(new.policy_id, new.document ->> 'name', new.document ->> 'type',
      case when old.status = 'active' then 'policy_deactivated' else 'policy_updated' end, moonguard.policy_actor(), new.note,
      moonguard.policy_version_state(old, false), moonguard.policy_version_state(new, false));
  end if;
  perform moonguard.register_policy_version(new);
  return null;
end
$$;
create trigger policy_version_after_write after insert or update on moonguard.policy_versions
  for each row execute function moonguard.policy_version_after_write();

create function moonguard.policy_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_document jsonb;
begin
  if tg_op = 'UPDATE' and new.external_policy_id is distinct from old.external_policy_id
      and exists (select from moonguard.policy_versions where policy_id = old.external_policy_id) then
    perform moonguard.refuse_policy_step('moonpay_policies_versions', format('the policy %s has versions', old.external_policy_id), 'Save a document with another id.');
  end if;
  if not exists (select from moonguard.policy_versions where policy_id = new.external_policy_id) then
    return new;
  end if;
  select document into v_document from moonguard.policy_versions where policy_id = new.external_policy_id and status = 'active';
  if found and (tg_op = 'INSERT' or (new.name, new.type, new.rules) is distinct from (old.name, old.type, old.rules))
      and (new.name, new.type, new.rules) is distinct from
        (coalesce(v_document ->> 'name', new.external_policy_id), moonguard.policy_kind(v_document ->> 'type'), coalesce(v_document -> 'rules', '[]'))
      or not found and new.is_active and (tg_op = 'INSERT' or not old.is_active) then
    perform moonguard.refuse_policy_step('moonpay_policies_versions', format('the policy %s has versions', new.external_policy_id), 'Save a version and publish it.');
  end if;
  return new;
end
$$;
create trigger moonguard_policy_before_write before insert or update on public.moonpay_policies
  for each row execute function moonguard.policy_before_write();

create function moonguard.policy_after_delete() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update moonguard.policy_versions set status = 'retired' where policy_id = old.external_policy_id and status <> 'retired';
  return null;
end
$$;
create trigger moonguard_policy_after_delete after delete on public.moonpay_policies
  for each row execute function moonguard.policy_after_delete();

-- Before anything else of the statement: it is the lock too.
create trigger policy_versions_revision before insert or update on moonguard.policy_versions
  for each statement execute function moonguard.advance_policy_revision();
create trigger policy_lists_revision before insert or delete on moonguard.policy_lists
  for each statement execute function moonguard.advance_policy_revision();
create trigger policy_list_values_revision before insert or delete on moonguard.policy_list_values
  for each statement execute function moonguard.advance_policy_revision();
create trigger moonguard_policy_revision before update of is_active on public.moonpay_policies
  for each statement execute function moonguard.advance_policy_revision();

-- Exceptions.

create table moonguard.policy_exceptions (
  id uuid primary key default moonguard.uuid_v7(),
  policy_id text not null,
  rule_id text,
  environment text,
  customer_id text,
  entity_type text,
  entity_id text,
  reason text not null,
  granted_by text not null default session_user,
  granted_at timestamptz not null default now(),
  expires_at timestamptz not null,
  ended_at timestamptz,
  ended_by text,
  constraint policy_exceptions_policy_id_check check (length(policy_id) between 1 and 500),
  constraint policy_exceptions_rule_id_check check (length(rule_id) between 1 and 500),
  constraint policy_exceptions_environment_check check (environment in ('sandbox', 'production')),
  constraint policy_exceptions_customer_id_check check (length(customer_id) between 1 and 500 and num_nonnulls(customer_id, entity_id) > 0),
  constraint policy_exceptions_entity_id_check check (length(entity_id) between 1 and 500 and num_nulls(entity_type, entity_id) in (0, 2)),
  constraint policy_exceptions_reason_check check (reason ~ '\S' and octet_length(reason) <= 65536),
  constraint policy_exceptions_expires_at_check check (expires_at > granted_at)
);
create index policy_exceptions_customer_idx on moonguard.policy_exceptions (customer_id) where ended_at is null;
create index policy_exceptions_entity_idx on moonguard.policy_exceptions (entity_type, entity_id) where ended_at is null and entity_id is not null;
comment on table moonguard.policy_exceptions is 'For whom a policy, or one rule of it, has no effect, why and until when. Its hits are logged all the same.';
comment on column moonguard.policy_exceptions.id is 'UUIDv7; a hit that it waives names it.';
comment on column moonguard.policy_exceptions.policy_id is 'external_policy_id of the policy.';
comment on column moonguard.policy_exceptions.rule_id is 'Null: any rule.';
comment on column moonguard.policy_exceptions.environment is 'Null: both.';
comment on column moonguard.policy_exceptions.customer_id is 'MoonPay''s id of the customer, or yours; null: whoever the entity belongs to.';
comment on column moonguard.policy_exceptions.entity_type is 'What entity_id names.';
comment on column moonguard.policy_exceptions.entity_id is 'Null: anything of the customer.';
comment on column moonguard.policy_exceptions.reason is 'Why it was granted.';
comment on column moonguard.policy_exceptions.granted_by is 'Who granted it.';
comment on column moonguard.policy_exceptions.granted_at is 'From when it holds.';
comment on column moonguard.policy_exceptions.expires_at is 'Until when it holds.';
comment on column moonguard.policy_exceptions.ended_at is 'When somebody ended it before its time.';
comment on column moonguard.policy_exceptions.ended_by is 'Who ended it.';

-- Name and type of a policy, for its rows of the log; without a version: the register's name.
create function moonguard.policy_named(p_policy_id text, out name text, out type text)
language sql stable set search_path = '' as $$
  select coalesce(v.document ->> 'name', p.name), v.document ->> 'type'
  from (select 1) one
  left join public.moonpay_policies p on p.external_policy_id = p_policy_id
  left join moonguard.policy_versions v on v.policy_id = p_policy_id
  order by v.status = 'active' desc, v.version desc limit 1
$$;

create function moonguard.require_person(p_constraint text) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_actor text := moonguard.current_actor();
begin
  if coalesce(trim(v_actor), '') in ('', 'system') then
    perform moonguard.refuse_policy_step(p_constraint, 'nobody does this: say who acts', 'Set moonguard.actor, or sign in.');
  end if;
  return v_actor;
end
$$;

create function moonguard.policy_exception_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    new.granted_by := moonguard.require_person('policy_exceptions_actor');
    new.granted_at := clock_timestamp();
    new.ended_at := null;
    new.ended_by := null;
    return new;
  end if;
  if to_jsonb(new) - '{ended_at,ended_by}'::text[] <> to_jsonb(old) - '{ended_at,ended_by}'::text[] then
    perform moonguard.refuse_policy_step('policy_exceptions_content', 'what was granted stays as it is', 'End the exception and grant another one.');
  elsif old.ended_at is not null or old.expires_at <= clock_timestamp() then
    perform moonguard.refuse_policy_step('policy_exceptions_ended', 'the exception has ended', 'Grant another one.');
  end if;
  new.ended_by := moonguard.require_person('policy_exceptions_actor');
  new.ended_at := clock_timestamp();
  return new;
end
$$;
create trigger policy_exception_before_write before insert or update on moonguard.policy_exceptions
  for each row execute function moonguard.policy_exception_before_write();
create trigger policy_exceptions_append_only before delete on moonguard.policy_exceptions for each row execute function moonguard.refuse_change();
create trigger policy_exceptions_no_truncate before truncate on moonguard.policy_exceptions for each statement execute function moonguard.refuse_change();

create function moonguard.policy_exception_after_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_policy record;
begin
  select * into v_policy from moonguard.policy_named(new.policy_id);
  perform moonguard.log_policy_change(new.policy_id, v_policy.name, v_policy.type, case tg_op when 'INSERT' then 'exception_granted' else 'policy_updated' end,
    moonguard.policy_actor(), new.reason, case tg_op when 'UPDATE' then to_jsonb(old) end, to_jsonb(new), to_jsonb(new));
  return null;
end
$$;
create trigger policy_exception_after_write after insert or update on moonguard.policy_exceptions
  for each row execute function moonguard.policy_exception_after_write();

-- Approvals.

create table moonguard.policy_approvals (
  id uuid primary key default moonguard.uuid_v7(),
  decision_id uuid not null,
  correlation_id text,
  policy_id text not null,
  policy_version integer not null,
  rule_id text not null,
  environment text not null,
  customer_id text,
  entity_type text not null,
  entity_id text not null,
  requested_by text not null,
  requested_at timestamptz not null default now(),
  expires_at timestamptz not null,
  status text not null default 'pending',
  decided_by text,
  decided_at timestamptz,
  reason text,
  valid_until timestamptz,
  constraint policy_approvals_environment_check check (environment in ('sandbox', 'production')),
  constraint policy_approvals_status_check check (status in ('pending', 'granted', 'denied', 'expired')),
  constraint policy_approvals_expires_at_check check (expires_at > requested_at),
  constraint policy_approvals_reason_check check (reason ~ '\S' and octet_length(reason) <= 65536),
  constraint policy_approvals_valid_until_check check (valid_until > decided_at)
);
create unique index policy_approvals_pending_idx on moonguard.policy_approvals (policy_id, rule_id, environment, entity_type, entity_id) where status = 'pending';
create index policy_approvals_expiry_idx on moonguard.policy_approvals (expires_at) where status = 'pending';
create index policy_approvals_granted_idx on moonguard.policy_approvals (entity_type, entity_id) where status = 'granted';
comment on table moonguard.policy_approvals is 'What somebody has to approve because a policy asks for it.';
comment on column moonguard.policy_approvals.id is 'UUIDv7; a hit that it waives names it.';
comment on column moonguard.policy_approvals.decision_id is 'The decision that asked for it: id of its row in the policy log.';
comment on column moonguard.policy_approvals.correlation_id is 'As in the policy log.';
comment on column moonguard.policy_approvals.policy_id is 'external_policy_id of the policy.';
comment on column moonguard.policy_approvals.policy_version is 'The version that asked.';
comment on column moonguard.policy_approvals.rule_id is 'The rule that was hit.';
comment on column moonguard.policy_approvals.environment is 'sandbox or production.';
comment on column moonguard.policy_approvals.customer_id is 'The customer concerned.';
comment on column moonguard.policy_approvals.entity_type is 'What entity_id names.';
comment on column moonguard.policy_approvals.entity_id is 'What is to be approved.';
comment on column moonguard.policy_approvals.requested_by is 'Who asked; another person decides.';
comment on column moonguard.policy_approvals.requested_at is 'When it was asked for.';
comment on column moonguard.policy_approvals.expires_at is 'Until when it can be decided.';
comment on column moonguard.policy_approvals.status is 'pending, granted, denied, expired.';
comment on column moonguard.policy_approvals.decided_by is 'Who granted or denied it.';
comment on column moonguard.policy_approvals.decided_at is 'When it was decided, or expired.';
comment on column moonguard.policy_approvals.reason is 'Why it was granted or denied.';
comment on column moonguard.policy_approvals.valid_until is 'Until when the rule has no further effect on the entity.';

create function moonguard.policy_approval_before_write() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op = 'INSERT' then
    if new.status <> 'pending' then
      perform moonguard.refuse_policy_step('policy_approvals_move', 'a new approval is pending', 'Ask for it first; another person decides.');
    end if;
    select null, null, null, null into new.decided_by, new.decided_at, new.reason, new.valid_until;
    return new;
  end if;
  if to_jsonb(new) - '{status,decided_by,decided_at,reason,valid_until}'::text[] <> to_jsonb(old) - '{status,decided_by,decided_at,reason,valid_until}'::text[] then
    perform moonguard.refuse_policy_step('policy_approvals_content', 'what was asked for stays as it is', 'Deny it and ask again.');
  elsif old.status <> 'pending' or new.status = 'pending' then
    perform moonguard.refuse_policy_step('policy_approvals_move', format('an approval that is %s cannot become %s', old.status, new.status),
      case old.status when 'pending' then 'Allowed from pending: granted, denied.' else format('Allowed from %s: nothing.', old.status) end);
  elsif new.status = 'expired' then
    if old.expires_at > clock_timestamp() then
      perform moonguard.refuse_policy_step('policy_approvals_move', format('the approval can be decided until %s', old.expires_at), 'Deny it.');
    end if;
    select null, 'expired', null into new.decided_by, new.reason, new.valid_until;
    new.decided_at := clock_timestamp();
    return new;
  elsif old.expires_at <= clock_timestamp() then
    perform moonguard.refuse_policy_step('policy_approvals_move', format('the approval expired at %s', old.expires_at), 'Have the decision made again.');
  end if;
  new.decided_by := moonguard.require_person('policy_approvals_actor');
  new.decided_at := clock_timestamp();
  if moonguard.same_person(new.decided_by, old.requested_by) then
    perform moonguard.refuse_policy_step('policy_approvals_second_person', format('%s asked for it', old.requested_by), 'Another person decides.');
  elsif coalesce(new.reason, '') !~ '\S' then
    perform moonguard.refuse_policy_step('policy_approvals_reason_check', 'an approval is decided with a reason', 'Set reason.');
  end if;
  new.valid_until := case when new.status = 'granted' then coalesce(new.valid_until,
    new.decided_at + make_interval(hours => (select approval_hours from moonguard.policy_settings))) end;
  return new;
end
$$;
create trigger policy_approval_before_write before insert or update on moonguard.policy_approvals
  for each row execute function moonguard.policy_approval_before_write();
create trigger policy_approvals_append_only before delete on moonguard.policy_approvals for each row execute function moonguard.refuse_change();
create trigger policy_approvals_no_truncate before truncate on moonguard.policy_approvals for each statement execute function moonguard.refuse_change();

create function moonguard.policy_approval_after_write() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_policy record;
begin
  select * into v_policy from moonguard.policy_named(new.policy_id);
  perform moonguard.log_policy_change(new.policy_id, v_policy.name, v_policy.type,
    case new.status when 'pending' then 'approval_required' when 'granted' then 'approval_granted' else 'approval_denied' end,
    case new.status when 'pending' then new.requested_by else coalesce(new.decided_by, 'system') end, new.reason,
    case tg_op when 'UPDATE' then to_jsonb(old) end, to_jsonb(new), to_jsonb(new));
  return null;
end
$$;
create trigger policy_approval_after_write after insert or update on moonguard.policy_approvals
  for each row execute function moonguard.policy_approval_after_write();

-- What is asked for already, by whomever, is not asked for again. Returns what is pending then, in the order of what was asked for.
create function moonguard.request_approvals(p_asked jsonb) returns setof moonguard.policy_approvals
language plpgsql set search_path = '' as $$
begin
  update moonguard.policy_approvals a set status = 'expired'
  from jsonb_to_recordset(p_asked) as asked (policy_id text, rule_id text, environment text, entity_type text, entity_id text)
  where (a.policy_id, a.rule_id, a.environment, a.entity_type, a.entity_id)
      = (asked.policy_id, asked.rule_id, asked.environment, asked.entity_type, asked.entity_id)
    and a.status = 'pending' and a.expires_at <= clock_timestamp();
  insert into moonguard.policy_approvals (decision_id, correlation_id, policy_id, policy_version, rule_id, environment, customer_id, entity_type, entity_id,
    requested_by, requested_at, expires_at)
  select distinct on (policy_id, rule_id, environment, entity_type, entity_id) decision_id, correlation_id, policy_id, policy_version, rule_id, environment, customer_id,
    entity_type, entity_id, requested_by, at, at + coalesce(make_interval(secs => expires_in_seconds), make_interval(hours => s.approval_hours))
  from rows from (jsonb_to_recordset(p_asked) as (decision_id uuid, correlation_id text, policy_id text, policy_version integer, rule_id text, environment text,
      customer_id text, entity_type text, entity_id text, requested_by text, expires_in_seconds integer)) with ordinality
    as asked (decision_id, correlation_id, policy_id, policy_version, rule_id, environment, customer_id, entity_type, entity_id, requested_by, expires_in_seconds, place),
    moonguard.policy_settings s, clock_timestamp() as at
  order by policy_id, rule_id, environment, entity_type, entity_id, place
  on conflict (policy_id, rule_id, environment, entity_type, entity_id) where status = 'pending' do nothing;
  return query
  select a.*
  from rows from (jsonb_to_recordset(p_asked) as (policy_id text, rule_id text, environment text, entity_type text, entity_id text)) with ordinality
    as asked (policy_id, rule_id, environment, entity_type, entity_id, place)
  join moonguard.policy_approvals a on (a.policy_id, a.rule_id, a.environment, a.entity_type, a.entity_id)
    = (asked.policy_id, asked.rule_id, asked.environment, asked.entity_type, asked.entity_id) and a.status = 'pending'
  order by asked.place;
end
$$;
comment on function moonguard.request_approvals(jsonb) is 'Asks for approvals, unless they are pending; returns the pending ones.';

create function moonguard.expire_approvals(p_now timestamptz default now()) returns integer
language plpgsql set search_path = '' as $$
declare
  v_expired integer;
begin
  update moonguard.policy_approvals a set status = 'expired'
  where a.id = any (array(
    select due.id from moonguard.policy_approvals due
    where due.status = 'pending' and due.expires_at <= least(p_now, clock_timestamp()) order by due.expires_at limit 1000 for no key update skip locked));
  get diagnostics v_expired = row_count;
  return v_expired;
end
$$;
comment on function moonguard.expire_approvals(timestamptz) is 'Ends approvals that nobody decided in time, a thousand at a time; returns how many.';

-- A customer is named by MoonPay's id or by yours.
create function moonguard.policy_waivers(p_environment text, p_customer_id text, p_entity_type text, p_entity_id text, p_now timestamptz) returns jsonb
language sql stable set search_path = '' as $$
  select coalesce(jsonb_agg(jsonb_build_object('id', w.id, 'kind', w.kind, 'policy', w.policy_id, 'rule', w.rule_id) order by w.id), '[]')
  from (
    select e.id, 'exception' as kind, e.policy_id, e.rule_id
    from moonguard.policy_exceptions e
    where e.ended_at is null and e.granted_at <= p_now and e.expires_at > p_now and (e.environment is null or e.environment = p_environment)
      and (e.customer_id is null or e.customer_id = any (array[p_customer_id,
        (select c.external_customer_id from public.moonpay_customers c where c.moonpay_customer_id = p_customer_id limit 1)]))
      and (e.entity_id is null or (e.entity_type, e.entity_id) in ((p_entity_type, p_entity_id), ('customer', p_customer_id)))
    union all
    select a.id, 'approval', a.policy_id, a.rule_id
    from moonguard.policy_approvals a
    where a.status = 'granted' and a.valid_until > p_now and a.environment = p_environment
      and (a.entity_type, a.entity_id) in ((p_entity_type, p_entity_id), ('customer', p_customer_id))
  ) w
$$;
comment on function moonguard.policy_waivers(text, text, text, text, timestamptz) is
  'The exceptions and granted approvals that hold for a customer and an entity: id, kind, policy, rule (null: any).';

-- Access. Of two persons one may be an analyst: he saves drafts, an officer publishes.

alter table moonguard.policy_settings enable row level security;
alter table moonguard.policy_revision enable row level security;
alter table moonguard.policy_lists enable row level security;
alter table moonguard.policy_list_values enable row level security;
alter table moonguard.policy_versions enable row level security;
alter table moonguard.policy_exceptions enable row level security;
alter table moonguard.policy_approvals enable row level security;
revoke all on moonguard.policy_settings, moonguard.policy_revision, moonguard.policy_lists, moonguard.policy_list_values, moonguard.policy_versions,
  moonguard.policy_exceptions, moonguard.policy_approvals from public, anon, authenticated, service_role;
revoke all on function moonguard.policy_actor(), moonguard.refuse_policy_step(text, text, text), moonguard.same_person(text, text),
  moonguard.log_policy_change(text, text, text, text, text, text, jsonb, jsonb, jsonb), moonguard.policy_settings_before_change(), moonguard.policy_settings_after_change(),
  moonguard.advance_policy_revision(), moonguard.policy_list_before_write(), moonguard.policy_list_after_write(), moonguard.policy_list_value_before_write(),
  moonguard.policy_list_values_after_write(), moonguard.require_policy_publisher(moonguard.policy_versions), moonguard.policy_version_before_write(),
  moonguard.policy_version_state(moonguard.policy_versions, boolean), moonguard.policy_kind(text), moonguard.register_policy_version(moonguard.policy_versions),
  moonguard.policy_version_after_write(), moonguard.policy_before_write(), moonguard.policy_after_delete(), moonguard.policy_named(text), moonguard.require_person(text),
  moonguard.policy_exception_before_write(), moonguard.policy_exception_after_write(), moonguard.policy_approval_before_write(), moonguard.policy_approval_after_write(),
  moonguard.request_approvals(jsonb), moonguard.expire_approvals(timestamptz), moonguard.policy_waivers(text, text, text, text, timestamptz) from public, anon, authenticated, service_role;

create policy owner_only on moonguard.policy_revision using (false);
grant select on moonguard.policy_settings, moonguard.policy_lists, moonguard.policy_list_values, moonguard.policy_versions, moonguard.policy_exceptions,
  moonguard.policy_approvals to authenticated, service_role;
grant update (four_eyes, approval_hours) on moonguard.policy_settings to authenticated, service_role;
grant insert (name, description, case_sensitive), update (description), delete on moonguard.policy_lists to authenticated, service_role;
grant insert (list_name, value, note), delete on moonguard.policy_list_values to authenticated, service_role;
grant insert (policy_id, status, document, hash, note), update (status, document, hash, note) on moonguard.policy_versions to authenticated, service_role;
grant insert (policy_id, rule_id, environment, customer_id, entity_type, entity_id, reason, expires_at), update (ended_at) on moonguard.policy_exceptions to authenticated, service_role;
grant update (status, reason, valid_until) on moonguard.policy_approvals to authenticated, service_role;

do $read$
declare
  v_table text;
begin
  foreach v_table in array array['policy_settings', 'policy_lists', 'policy_list_values', 'policy_versions', 'policy_exceptions', 'policy_approvals'] loop
    execute format('create policy %1$s_read on moonguard.%1$s for select to authenticated
      using ((select moonguard.has_role(''admin'', ''compliance_officer'', ''compliance_analyst'', ''auditor'')))', v_table);
  end loop;
end
$read$;
create policy policy_settings_change on moonguard.policy_settings for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_lists_create on moonguard.policy_lists for insert to authenticated with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_lists_change on moonguard.policy_lists for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_lists_delete on moonguard.policy_lists for delete to authenticated using ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_list_values_add on moonguard.policy_list_values for insert to authenticated with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_list_values_remove on moonguard.policy_list_values for delete to authenticated using ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_versions_save on moonguard.policy_versions for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst')));
create policy policy_versions_change on moonguard.policy_versions for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer')) or ((select moonguard.has_role('compliance_analyst')) and status = 'draft'))
  with check ((select moonguard.has_role('admin', 'compliance_officer')) or ((select moonguard.has_role('compliance_analyst')) and status = 'draft'));
create policy policy_exceptions_grant on moonguard.policy_exceptions for insert to authenticated with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_exceptions_end on moonguard.policy_exceptions for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy policy_approvals_decide on moonguard.policy_approvals for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));

select moonguard.add_view('moonpay_policy_versions', 'Versions of policies, for those who may see policies.',
  $$select id, policy_id, version, status, document, hash, note, created_by, created_at, published_by, published_at, replaces, retired_at from moonguard.policy_versions$$);
select moonguard.comment_view('moonpay_policy_versions', 'moonguard.policy_versions');
select moonguard.add_view('moonpay_policy_lists', 'Lists that policies look values up in, for those who may see policies.',
  $$select name, description, case_sensitive, revision, created_by, created_at from moonguard.policy_lists$$);
select moonguard.comment_view('moonpay_policy_lists', 'moonguard.policy_lists');
select moonguard.add_view('moonpay_policy_exceptions', 'Exceptions from policies, for those who may see policies.',
  $$select id, policy_id, rule_id, environment, customer_id, entity_type, entity_id, reason, granted_by, granted_at, expires_at, ended_at, ended_by from moonguard.policy_exceptions$$);
select moonguard.comment_view('moonpay_policy_exceptions', 'moonguard.policy_exceptions');
select moonguard.add_view('moonpay_policy_approvals', 'What policies want approved, for those who may see policies.',
  $$select id, decision_id, correlation_id, policy_id, policy_version, rule_id, environment, customer_id, entity_type, entity_id, requested_by, requested_at, expires_at,
    status, decided_by, decided_at, reason, valid_until from moonguard.policy_approvals$$);
select moonguard.comment_view('moonpay_policy_approvals', 'moonguard.policy_approvals');
