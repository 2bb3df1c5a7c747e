-- Why: client certificates of endpoints, and the history of their status.
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

create table moonguard.endpoint_status_changes (
  id bigint generated always as identity primary key,
  endpoint_id uuid not null references public.moonpay_webhook_config (id) on delete cascade,
  at timestamptz not null default now(),
  from_status text,
  to_status text not null,
  reason text,
  actor text not null
);
create index endpoint_status_changes_endpoint_idx on moonguard.endpoint_status_changes (endpoint_id, id);
comment on table moonguard.endpoint_status_changes is 'Every status an endpoint had, append-only: since when, why and by whom.';

insert into moonguard.endpoint_status_changes (endpoint_id, at, to_status, reason, actor)
select id, status_changed_at, status, status_reason, coalesce(created_by, session_user) from public.moonpay_webhook_config order by created_at, id;

create function moonguard.note_endpoint_status() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.endpoint_status_changes (endpoint_id, from_status, to_status, reason, actor)
  -- session_user, not current_user: the function runs as its owner.
  values (new.id, case when tg_op = 'UPDATE' then old.status end, new.status, new.status_reason,
    coalesce(moonguard.current_actor(), case when tg_op = 'INSERT' then new.created_by end, session_user));
  return null;
end
$$;
create trigger note_endpoint_created after insert on public.moonpay_webhook_config
  for each row execute function moonguard.note_endpoint_status();
create trigger note_endpoint_status after update of status, is_active on public.moonpay_webhook_config
  for each row when (new.status <> old.status) execute function moonguard.note_endpoint_status();

-- Rows go with their endpoint: by then it is gone.
create function moonguard.refuse_endpoint_history_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  if tg_op = 'DELETE' then
    if not exists (select from public.moonpay_webhook_config where id = old.endpoint_id) then
      return old;
    end if;
  end if;
  raise exception using
    errcode = 'restrict_violation', constraint = 'endpoint_status_changes_append_only',
    message = format('endpoint_status_changes is append-only: %s is refused', lower(tg_op)), hint = 'Write a further row.';
end
$$;
create trigger endpoint_status_changes_append_only before update or delete on moonguard.endpoint_status_changes
  for each row execute function moonguard.refuse_endpoint_history_change();
create trigger endpoint_status_changes_no_truncate before truncate on moonguard.endpoint_status_changes
  for each statement execute function moonguard.refuse_endpoint_history_change();

select moonguard.add_view('moonpay_webhook_status_changes', 'Every status an endpoint had, for those who may see endpoints.',
  $$select id, endpoint_id, at, from_status, to_status, reason, actor from moonguard.endpoint_status_changes$$);

do $comments$
declare
  v_column record;
begin
  for v_column in
    select said.column_name, said.meaning
    from (values
      ('id', 'Rises with time.'),
      ('endpoint_id', 'The endpoint: id in moonpay_webhook_config.'),
      ('at', 'When.'),
      ('from_status', 'Status before; null for a new endpoint.'),
      ('to_status', 'Status afterwards.'),
      ('reason', 'Why.'),
      ('actor', 'Who.')
    ) as said (column_name, meaning)
    join pg_catalog.pg_attribute a on a.attrelid = to_regclass('public.moonpay_webhook_status_changes') and a.attname = said.column_name
    where pg_catalog.col_description(a.attrelid, a.attnum) is null
  loop
    execute format('comment on column public.moonpay_webhook_status_changes.%I is %L', v_column.column_name, v_column.meaning);
  end loop;
end
$comments$;

revoke all on moonguard.endpoint_certificates, moonguard.endpoint_status_changes from public, anon, authenticated, service_role;
revoke all on sequence moonguard.endpoint_status_changes_id_seq from public, anon, authenticated, service_role;
revoke all on function moonguard.note_endpoint_status(), moonguard.refuse_endpoint_history_change() from public, anon, authenticated, service_role;
grant select on moonguard.endpoint_status_changes to authenticated, service_role;

alter table moonguard.endpoint_certificates enable row level security;
create policy owner_only on moonguard.endpoint_certificates using (false);
alter table moonguard.endpoint_status_changes enable row level security;
create policy endpoint_status_changes_read on moonguard.endpoint_status_changes for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)));
