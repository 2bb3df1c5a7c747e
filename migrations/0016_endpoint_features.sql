-- Why: client certificates of endpoints, and the history of their configuration.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_webhook_config, which has few rows.
-- Older program: runs on; what it changes is in the history too.

-- A row never changes: another certificate is another row, so that whoever has read one may keep it by its id.
create table moonguard.endpoint_certificates (
  id uuid primary key default moonguard.uuid_v7(),
  endpoint_id uuid not null references public.moonpay_webhook_config (id) on delete cascade,
  certificate text not null,
  sealed bytea not null,
  key_id text not null,
  subject text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null default now(),
  constraint endpoint_certificates_endpoint_id_key unique (endpoint_id, id)
);
comment on table moonguard.endpoint_certificates is 'What the sender shows to receivers that ask for a client certificate (mTLS).';
comment on column moonguard.endpoint_certificates.certificate is 'PEM: the certificate, then those that signed it.';
comment on column moonguard.endpoint_certificates.sealed is 'Its private key (PEM) by AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag; the row''s id is authenticated with it.';
comment on column moonguard.endpoint_certificates.key_id is 'Which master key sealed it: the first 8 hex digits of the key''s SHA-256.';
comment on column moonguard.endpoint_certificates.subject is 'Whom the certificate is made out to.';
comment on column moonguard.endpoint_certificates.expires_at is 'After this receivers refuse it.';

-- Nobody shows the certificate of another endpoint.
alter table public.moonpay_webhook_config add constraint moonpay_webhook_config_client_certificate_fkey
  foreign key (id, client_certificate_id) references moonguard.endpoint_certificates (endpoint_id, id)
  on delete set null (client_certificate_id) not valid;
-- The column is new and empty, and the table has few rows.
-- squawk-ignore constraint-missing-not-valid
alter table public.moonpay_webhook_config validate constraint moonpay_webhook_config_client_certificate_fkey;
select moonguard.add_index('public.moonpay_webhook_config', 'moonpay_webhook_config_client_certificate_idx',
  $$(id, client_certificate_id) where client_certificate_id is not null$$);

create table moonguard.endpoint_changes (
  id uuid primary key default moonguard.uuid_v7(),
  endpoint_id uuid not null,
  entry_number bigint generated always as identity,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  action text not null,
  before jsonb not null,
  after jsonb not null,
  constraint endpoint_changes_action_check check (action in ('created', 'changed', 'secret', 'removed'))
);
create index endpoint_changes_endpoint_idx on moonguard.endpoint_changes (endpoint_id, entry_number);
comment on table moonguard.endpoint_changes is
  'Every change of every endpoint, append-only: who, when, what it was and what it became. It stays when the row of the endpoint is removed.';
comment on column moonguard.endpoint_changes.entry_number is 'Order of the entries; times may be equal.';
comment on column moonguard.endpoint_changes.action is 'created, changed, secret (it got a new one) or removed (the row itself).';
comment on column moonguard.endpoint_changes.before is 'The settings that changed, as they were. Of headers, which may hold credentials, only the names.';
comment on column moonguard.endpoint_changes.after is 'The settings that changed, as they became; all that are set, for a new endpoint. A header is set, or changed.';

-- What its history says of an endpoint: neither counters nor credentials.
create function moonguard.endpoint_settings(p_row jsonb, p_earlier_headers jsonb default '{}') returns jsonb
language sql immutable parallel safe set search_path = '' as $$
  select jsonb_object_agg(key, case key
      when 'url' then to_jsonb(regexp_replace(value #>> '{}', '^(https?://)[^/?#]*@', '\1'))
      when 'headers' then (
        select coalesce(jsonb_object_agg(name, case when p_earlier_headers -> name <> header then 'changed' else 'set' end), '{}')
        from jsonb_each(case when jsonb_typeof(value) = 'object' then value end) as given (name, header))
      else value end)
  from jsonb_each(p_row)
  where value <> 'null' and key = any ('{webhook_id,url,environment,events,status,status_reason,version,description,retry_policy,headers,delivery_settings,metadata,deleted_at,filter,client_certificate_id}')
$$;

create function moonguard.note_endpoint_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before jsonb := case when tg_op = 'INSERT' then '{}' else moonguard.endpoint_settings(to_jsonb(old)) end;
  v_after jsonb := case tg_op when 'DELETE' then '{}' when 'INSERT' then moonguard.endpoint_settings(to_jsonb(new))
    else moonguard.endpoint_settings(to_jsonb(new), old.headers) end;
begin
  insert into moonguard.endpoint_changes (endpoint_id, actor, action, before, after)
  select coalesce(new.id, old.id),
    -- session_user, not current_user: the function runs as its owner.
    coalesce(moonguard.current_actor(), case when tg_op = 'INSERT' then new.created_by end, session_user),
    case tg_op when 'INSERT' then 'created' when 'UPDATE' then 'changed' else 'removed' end,
    (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(v_before) where v_after -> key is distinct from value),
    (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(v_after) where v_before -> key is distinct from value);
  return null;
end
$$;

create function moonguard.note_endpoint_secret() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.endpoint_changes (endpoint_id, actor, action, before, after)
  values (new.endpoint_id, coalesce(moonguard.current_actor(), session_user), 'secret', '{}', jsonb_build_object('secret_id', new.id));
  return null;
end
$$;

insert into moonguard.endpoint_changes (endpoint_id, at, actor, action, before, after)
select id, status_changed_at, coalesce(created_by, session_user), 'created', '{}', moonguard.endpoint_settings(to_jsonb(c))
from public.moonpay_webhook_config c order by created_at, id;

-- Before move_secret_out_of_reach, by its name: an endpoint is created first, and gets its secret then.
create trigger endpoint_history_row after insert or delete on public.moonpay_webhook_config
  for each row execute function moonguard.note_endpoint_change();
-- Not of the counters, which every batch of deliveries writes.
create trigger endpoint_history_change after update of webhook_id, url, environment, events, status, is_active, status_reason, version, description,
  retry_policy, headers, delivery_settings, metadata, deleted_at, filter, client_certificate_id on public.moonpay_webhook_config
  for each row when ((new.webhook_id, new.url, new.environment, new.events, new.status, new.status_reason, new.version, new.description,
      new.retry_policy, new.headers, new.delivery_settings, new.metadata, new.deleted_at, new.filter, new.client_certificate_id)
    is distinct from (old.webhook_id, old.url, old.environment, old.events, old.status, old.status_reason, old.version, old.description,
      old.retry_policy, old.headers, old.delivery_settings, old.metadata, old.deleted_at, old.filter, old.client_certificate_id))
  execute function moonguard.note_endpoint_change();
create trigger endpoint_history_secret after insert on moonguard.endpoint_secrets
  for each row execute function moonguard.note_endpoint_secret();

create trigger endpoint_changes_append_only before update or delete on moonguard.endpoint_changes
  for each row execute function moonguard.refuse_change();
create trigger endpoint_changes_no_truncate before truncate on moonguard.endpoint_changes
  for each statement execute function moonguard.refuse_change();

select moonguard.add_view('moonpay_webhook_changes', 'Every change of an endpoint, for those who may see endpoints.',
  $$select id, endpoint_id, entry_number, at, actor, action, before, after from moonguard.endpoint_changes$$);
select moonguard.add_view('moonpay_webhook_status_changes', 'Every status an endpoint had, for those who may see endpoints.',
  $$select entry_number as id, endpoint_id, at, before ->> 'status' as from_status, after ->> 'status' as to_status, after ->> 'status_reason' as reason, actor
  from moonguard.endpoint_changes where after ? 'status'$$);

do $comments$
declare
  v_column record;
begin
  for v_column in
    select said.view_name, said.column_name, said.meaning
    from (values
      ('moonpay_webhook_changes', 'id', 'Of the entry.'),
      ('moonpay_webhook_changes', 'endpoint_id', 'The endpoint: id in moonpay_webhook_config.'),
      ('moonpay_webhook_changes', 'entry_number', 'Order of the entries; times may be equal.'),
      ('moonpay_webhook_changes', 'at', 'When.'),
      ('moonpay_webhook_changes', 'actor', 'Who.'),
      ('moonpay_webhook_changes', 'action', 'created, changed, secret (it got a new one) or removed (the row itself).'),
      ('moonpay_webhook_changes', 'before', 'The settings that changed, as they were; of headers only the names.'),
      ('moonpay_webhook_changes', 'after', 'The settings that changed, as they became; all that are set, for a new endpoint.'),
      ('moonpay_webhook_status_changes', 'id', 'Rises with time.'),
      ('moonpay_webhook_status_changes', 'endpoint_id', 'The endpoint: id in moonpay_webhook_config.'),
      ('moonpay_webhook_status_changes', 'at', 'When.'),
      ('moonpay_webhook_status_changes', 'from_status', 'Status before; null for a new endpoint.'),
      ('moonpay_webhook_status_changes', 'to_status', 'Status afterwards.'),
      ('moonpay_webhook_status_changes', 'reason', 'Why.'),
      ('moonpay_webhook_status_changes', 'actor', 'Who.')
    ) as said (view_name, column_name, meaning)
    join pg_catalog.pg_attribute a on a.attrelid = to_regclass('public.' || said.view_name) and a.attname = said.column_name
    where pg_catalog.col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column public.%I.%I is %L', v_column.view_name, v_column.column_name, v_column.meaning);
  end loop;
end
$comments$;

revoke all on moonguard.endpoint_certificates, moonguard.endpoint_changes from public, anon, authenticated, service_role;
revoke all on sequence moonguard.endpoint_changes_entry_number_seq from public, anon, authenticated, service_role;
revoke all on function moonguard.endpoint_settings(jsonb, jsonb), moonguard.note_endpoint_change(), moonguard.note_endpoint_secret()
  from public, anon, authenticated, service_role;
grant select on moonguard.endpoint_changes to authenticated, service_role;

alter table moonguard.endpoint_certificates enable row level security;
create policy owner_only on moonguard.endpoint_certificates using (false);
alter table moonguard.endpoint_changes enable row level security;
create policy endpoint_changes_read on moonguard.endpoint_changes for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)));
