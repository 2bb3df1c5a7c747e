-- Why: the endpoints that events are delivered to, their secrets, and the provider keys that events are verified with.
-- Locks: ACCESS EXCLUSIVE on moonpay_webhook_config where an earlier version of it exists; it has few rows.
-- Older program: an older hand-made program may go on writing; what it writes must satisfy the checks.

create table moonguard.moonpay_webhook_config (
  id uuid not null default moonguard.uuid_v7(),
  webhook_id text not null default 'wh_' || replace(moonguard.uuid_v7()::text, '-', ''),
  url text,
  environment text default 'sandbox',
  events text[],
  status text not null default 'active',
  is_active boolean not null default true,
  version text default 'v1',
  description text,
  secret_key text,
  retry_policy jsonb not null default moonguard.normalize_retry_policy('{}'),
  headers jsonb not null default '{}',
  delivery_settings jsonb not null default moonguard.normalize_delivery_settings('{}'),
  metadata jsonb not null default '{}',
  last_delivery_attempt timestamptz,
  last_successful_delivery timestamptz,
  last_failure_reason text,
  delivery_attempts_count bigint not null default 0,
  successful_deliveries_count bigint not null default 0,
  failed_deliveries_count bigint not null default 0,
  created_by text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  status_reason text,
  status_changed_at timestamptz not null default now(),
  consecutive_failures_count integer not null default 0,
  deleted_at timestamptz,
  filter text,
  client_certificate_id uuid,
  constraint moonpay_webhook_config_pkey primary key (id),
  constraint moonpay_webhook_config_webhook_id_key unique (webhook_id)
);

select moonguard.begin_adoption('moonpay_webhook_config');

-- What an earlier version left. Clear cases are put right; a row that would break a rule no longer delivers, is kept as
-- it was otherwise, and is reported. (A row that breaks a rule cannot be updated, and delivering updates counters.)
do $adopt$
begin
  if not exists (select from moonguard.adopted_tables where table_name = 'moonpay_webhook_config') then
    return;
  end if;

  update public.moonpay_webhook_config set
    created_at = coalesce(created_at, updated_at, now()),
    updated_at = coalesce(updated_at, created_at, now()),
    url = regexp_replace(url, '^\s+|\s+$', '', 'g'),
    environment = lower(trim(environment)),
    status = coalesce(lower(trim(status)), case when is_active is false then 'inactive' end),
    secret_key = nullif(secret_key, ''),
    retry_policy = nullif(retry_policy, 'null'),
    delivery_settings = nullif(delivery_settings, 'null'),
    headers = nullif(headers, 'null'),
    metadata = nullif(metadata, 'null'),
    filter = nullif(trim(filter), '');

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'client_certificate_id was ' || client_certificate_id, 'corrected: is null now; there was no certificate of this version'
  from public.moonpay_webhook_config where client_certificate_id is not null;
  update public.moonpay_webhook_config set client_certificate_id = null where client_certificate_id is not null;

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'filter was more than 4096 characters: ' || filter, 'corrected: is null now; the endpoint gets every event it names'
  from public.moonpay_webhook_config where length(filter) > 4096;
  update public.moonpay_webhook_config set filter = null where length(filter) > 4096;

  with broken as (
    select id, webhook_id, row_number() over (partition by webhook_id order by created_at, id) > 1 as is_taken from public.moonpay_webhook_config
    where webhook_id <> ''
  ), renamed as (
    update public.moonpay_webhook_config c set webhook_id = c.webhook_id || '_' || replace(c.id::text, '-', '')
    from broken where broken.id = c.id and broken.is_taken
    returning c.id, broken.webhook_id as earlier, c.webhook_id
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, format('webhook_id %s is in another row too', earlier), 'corrected: is ' || webhook_id || ' now' from renamed;
  update public.moonpay_webhook_config set webhook_id = 'wh_' || replace(id::text, '-', '') where coalesce(webhook_id, '') = '';

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'status is active and is_active is false', 'corrected: status is inactive: it did not deliver and does not'
  from public.moonpay_webhook_config where status = 'active' and not is_active;
  update public.moonpay_webhook_config set status = 'inactive', status_reason = 'is_active was false' where status = 'active' and not is_active;

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'metadata is no object', 'corrected: kept under the key "value"'
  from public.moonpay_webhook_config where jsonb_typeof(metadata) <> 'object';
  update public.moonpay_webhook_config set metadata = jsonb_build_object('value', metadata) where jsonb_typeof(metadata) <> 'object';

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', c.id::text, format('the header %s is set by the sender', header.key), 'corrected: removed; it was ' || header.value::text
  from public.moonpay_webhook_config c, jsonb_each(case when jsonb_typeof(c.headers) = 'object' then c.headers end) header
  where moonguard.header_is_reserved(header.key);
  update public.moonpay_webhook_config c
  set headers = (select coalesce(jsonb_object_agg(key, value), '{}') from jsonb_each(c.headers) where not moonguard.header_is_reserved(key))
  where jsonb_typeof(headers) = 'object';

  -- Of settings that are not valid, those parts that are valid by themselves stay.
  with spelled as (
    select id, retry_policy as given_policy, delivery_settings as given_settings,
      moonguard.normalize_retry_policy(retry_policy) as policy, moonguard.normalize_delivery_settings(delivery_settings, retry_policy) as settings
    from public.moonpay_webhook_config
  ), mended as (
    update public.moonpay_webhook_config c set
      retry_policy = case when moonguard.retry_policy_is_valid(policy) then policy else coalesce((
        select moonguard.normalize_retry_policy(jsonb_object_agg(key, value)) from jsonb_each(case when jsonb_typeof(policy) = 'object' then policy end)
        where moonguard.retry_policy_is_valid(moonguard.normalize_retry_policy(jsonb_build_object(key, value)))), moonguard.normalize_retry_policy('{}')) end,
      delivery_settings = case when moonguard.delivery_settings_are_valid(settings) then settings else coalesce((
        select moonguard.normalize_delivery_settings(jsonb_object_agg(key, value)) from jsonb_each(case when jsonb_typeof(settings) = 'object' then settings end)
        where moonguard.delivery_settings_are_valid(moonguard.normalize_delivery_settings(jsonb_build_object(key, value)))), moonguard.normalize_delivery_settings('{}')) end
    from spelled where spelled.id = c.id
    returning spelled.*
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', given.id::text, given.reason, 'corrected: what is valid of it stays, the rest is the default'
  from (
    select id, 'retry_policy is not valid: ' || coalesce(given_policy::text, 'null') as reason from mended where not moonguard.retry_policy_is_valid(policy)
    union all
    select id, 'delivery_settings are not valid: ' || coalesce(given_settings::text, 'null') from mended where not moonguard.delivery_settings_are_valid(settings)
  ) given;
  -- Each part may be valid and the whole not: the delays contradict each other.
  update public.moonpay_webhook_config set retry_policy = moonguard.normalize_retry_policy(retry_policy - array['initial_delay_ms', 'max_delay_ms'])
  where not moonguard.retry_policy_is_valid(retry_policy);

  with cleaned as (
    select id, events as given, array(select trim(name) from unnest(events) with ordinality as event (name, place) where trim(name) <> '' order by place) as events
    from public.moonpay_webhook_config
  ), changed as (
    update public.moonpay_webhook_config c set events = cleaned.events from cleaned
    where cleaned.id = c.id and cleaned.events <> cleaned.given
    returning c.id, cleaned.given
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'events has empty entries: ' || given::text, 'corrected: removed' from changed;
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, format('events names %s, which no event is called', name), 'action needed: name events like transaction.completed'
  from public.moonpay_webhook_config, unnest(events) as name
  where name !~ '^(\*|[a-z0-9_]+\.(\*|[a-z0-9_]+(\.[a-z0-9_]+)*))$' or name in ('compliance.*', 'policy.*');

  -- The newest of several rows for one address goes on; the others are kept as deleted.
  with ranked as (
    select id, row_number() over (partition by url, environment order by (status = 'active') desc, created_at desc, id desc) as place
    from public.moonpay_webhook_config where url is not null and environment is not null and deleted_at is null
  ), older as (
    update public.moonpay_webhook_config c
    set deleted_at = now(), status = 'inactive', status_reason = 'another row had the same url and environment'
    from ranked where ranked.id = c.id and ranked.place > 1
    returning c.id
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'another row has the same url and environment', 'corrected: kept as deleted; the newest active row goes on' from older;

  with broken as (
    select id, concat_ws('; ',
        case when coalesce(cardinality(events), 0) = 0 then 'events is empty' end,
        case when url is null or url !~ '^https?://[^/?#\s\\][^\s\\]*$' then 'url is no http or https address' end,
        case when environment is null or environment not in ('sandbox', 'production') then 'environment is neither sandbox nor production' end,
        case when status not in ('active', 'inactive', 'suspended', 'failed') then 'status is unknown: ' || status end,
        case when url ~ '^https?://[^/?#]*@' then 'url has credentials in it' end,
        case when environment = 'production' and url ~ '^http://' then 'url of a production endpoint is not https' end,
        case when environment = 'production' and moonguard.url_is_private(url) then 'url of a production endpoint is a private address' end,
        case when not moonguard.endpoint_headers_are_valid(coalesce(headers, '{}')) then 'headers are not valid' end) as reason
    from public.moonpay_webhook_config
  ), stopped as (
    update public.moonpay_webhook_config c
    set status = 'inactive', status_reason = broken.reason
    from broken where broken.id = c.id and broken.reason <> ''
    returning c.id, broken.reason
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, reason, 'action needed: the endpoint is inactive until this is corrected' from stopped;

  update public.moonpay_webhook_config set is_active = (coalesce(status, 'active') = 'active')
  where is_active is distinct from (coalesce(status, 'active') = 'active');
end
$adopt$;

select moonguard.finish_adoption('moonpay_webhook_config');

-- Secrets, encrypted by the program under a key the database does not have. Where SQL put one into secret_key it waits
-- here unsealed until the program next starts or uses it.
create table moonguard.endpoint_secrets (
  id uuid primary key default moonguard.uuid_v7(),
  endpoint_id uuid not null references public.moonpay_webhook_config (id) on delete cascade,
  sealed bytea,
  key_id text,
  unsealed text,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  constraint endpoint_secrets_sealed_check check ((sealed is not null and key_id is not null) <> (unsealed is not null))
);
create index endpoint_secrets_endpoint_id_idx on moonguard.endpoint_secrets (endpoint_id);
-- One secret is current; two workers that both find none make one.
create unique index endpoint_secrets_current_key on moonguard.endpoint_secrets (endpoint_id) where expires_at is null;
comment on table moonguard.endpoint_secrets is 'What our deliveries are signed with: the newest, and older ones until they expire.';
comment on column moonguard.endpoint_secrets.sealed is 'AES-256-GCM: 12 bytes nonce, ciphertext, 16 bytes tag; the row''s id is authenticated with it.';
comment on column moonguard.endpoint_secrets.key_id is 'Which master key sealed it: the first 8 hex digits of the key''s SHA-256.';
comment on column moonguard.endpoint_secrets.unsealed is 'A secret that SQL wrote into moonpay_webhook_config.secret_key, until the program seals it.';

create table moonguard.provider_keys (
  id uuid primary key default moonguard.uuid_v7(),
  environment text not null constraint provider_keys_environment_check check (environment in ('sandbox', 'production')),
  sealed bytea not null,
  key_id text not null,
  fingerprint text not null,
  created_by text,
  created_at timestamptz not null default now(),
  constraint provider_keys_fingerprint_key unique (environment, fingerprint)
);
comment on table moonguard.provider_keys is 'MoonPay''s webhook keys, which incoming events are verified with. Several per environment while one replaces another.';
comment on column moonguard.provider_keys.fingerprint is 'First 12 hex digits of the key''s SHA-256: tells keys apart without showing them.';

create table moonguard.master_key (
  only_row boolean primary key default true constraint master_key_only_row_check check (only_row),
  key_id text not null,
  registered_at timestamptz not null default now()
);
comment on table moonguard.master_key is
  'Which master key this database is used with, so that a program with another one stops before it seals anything. To begin with another key while nothing is sealed: delete the row.';
comment on column moonguard.master_key.key_id is 'The first 8 hex digits of the key''s SHA-256.';

insert into moonguard.endpoint_secrets (endpoint_id, unsealed)
select id, secret_key from public.moonpay_webhook_config where secret_key <> '';
insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
select 'moonpay_webhook_config', id::text, 'secret_key held a secret in plain text', 'corrected: moved out of reach of every role; encrypted when the program starts'
from public.moonpay_webhook_config where secret_key <> '';
update public.moonpay_webhook_config set secret_key = null where secret_key is not null;

select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_environment_check', $$environment is not null and environment in ('sandbox', 'production')$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_status_check', $$status in ('active', 'inactive', 'suspended', 'failed')$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_is_active_check', $$is_active = (status = 'active')$$);

create function moonguard.refuse_breach() returns trigger
language plpgsql set search_path = '' as $$
begin
  raise exception using
    errcode = 'check_violation', schema = tg_table_schema, table = tg_table_name, constraint = tg_name,
    message = format('new row for relation "%s" violates check constraint "%s"', tg_table_name, tg_name);
end
$$;

-- The other rules of an endpoint look at its configuration when it is written, and not, as a CHECK does, whenever a counter
-- moves: each batch of deliveries moves them. Of such an update (one row, PostgreSQL 18) 160 of 180 µs were CHECKs, of which
-- the cheapest costs 3, as PostgreSQL reads and plans its expression for every statement. The three above cost 11 to 21 µs.
create function moonguard.add_endpoint_rule(p_name text, p_expression text) returns void
language plpgsql set search_path = '' as $$
begin
  execute format('create constraint trigger %I after insert or update of url, environment, events, status, is_active, retry_policy, headers,
      delivery_settings, metadata, filter on public.moonpay_webhook_config
    for each row when (not (%s)) execute function moonguard.refuse_breach()', p_name, p_expression);
  perform moonguard.report_breaches('public.moonpay_webhook_config', p_name, p_expression);
end
$$;
select moonguard.add_endpoint_rule('moonpay_webhook_config_events_check',
  $$coalesce(cardinality(new.events), 0) > 0 and array_position(new.events, null) is null and not '' = any (new.events)$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_url_check', $$new.url is not null and new.url ~ '^https?://[^/?#\s\\][^\s\\]*$'$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_url_https_check', $$new.environment <> 'production' or new.url ~ '^https://'$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_url_credentials_check', $$new.url !~ '^https?://[^/?#]*@'$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_url_private_check',
  $$new.environment <> 'production' or not moonguard.url_is_private(new.url)$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_headers_check', $$moonguard.endpoint_headers_are_valid(new.headers)$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_retry_policy_check', $$moonguard.retry_policy_is_valid(new.retry_policy)$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_delivery_settings_check', $$moonguard.delivery_settings_are_valid(new.delivery_settings)$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_metadata_check', $$jsonb_typeof(new.metadata) = 'object'$$);
select moonguard.add_endpoint_rule('moonpay_webhook_config_filter_check', $$new.filter <> '' and length(new.filter) <= 4096$$);
drop function moonguard.add_endpoint_rule(text, text);

create unique index moonpay_webhook_config_live_url_key on public.moonpay_webhook_config (url, environment) where deleted_at is null;
select moonguard.add_index('public.moonpay_webhook_config', 'moonpay_webhook_config_metadata_idx', $$using gin (metadata jsonb_path_ops)$$);

create function moonguard.webhook_config_before_write() returns trigger
language plpgsql set search_path = '' as $$
begin
  -- An older policy brings the timeout; it counts unless delivery_settings are given as well.
  if new.retry_policy ? 'timeout'
      and new.delivery_settings = (case tg_op when 'UPDATE' then old.delivery_settings else moonguard.normalize_delivery_settings('{}') end) then
    new.delivery_settings := new.delivery_settings - 'timeout_ms';
  end if;
  new.delivery_settings := moonguard.normalize_delivery_settings(new.delivery_settings, new.retry_policy);
  new.retry_policy := moonguard.normalize_retry_policy(new.retry_policy);
  -- Either of the two may be written; the other follows.
  if tg_op = 'INSERT' then
    if not new.is_active and new.status = 'active' then
      new.status := 'inactive';
    end if;
  elsif new.is_active is distinct from old.is_active and new.status = old.status then
    new.status := case when new.is_active then 'active' else 'inactive' end;
  end if;
  new.is_active := new.status = 'active';
  if tg_op = 'UPDATE' then
    if new.status <> old.status then
      new.status_changed_at := now();
      if new.status_reason is not distinct from old.status_reason then
        new.status_reason := null;
      end if;
      if new.status = 'active' then
        new.consecutive_failures_count := 0;
      end if;
    end if;
    -- Counters move with every delivery; they are no change of the endpoint.
    if (new.url, new.environment, new.events, new.status, new.version, new.description, new.retry_policy, new.headers,
        new.delivery_settings, new.metadata, new.deleted_at, new.filter, new.client_certificate_id)
      is distinct from (old.url, old.environment, old.events, old.status, old.version, old.description, old.retry_policy, old.headers,
        old.delivery_settings, old.metadata, old.deleted_at, old.filter, old.client_certificate_id) then
      new.updated_at := now();
    end if;
  end if;
  return new;
end
$$;
-- Not on the counters, which every batch of deliveries writes: 0.33 ms an endpoint.
create trigger webhook_config_before_write before insert or update of url, environment, events, status, is_active, version,
  description, retry_policy, headers, delivery_settings, metadata, deleted_at, filter, client_certificate_id on public.moonpay_webhook_config
  for each row execute function moonguard.webhook_config_before_write();

create function moonguard.move_secret_out_of_reach() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.secret_key <> '' then
    update moonguard.endpoint_secrets set expires_at = now() where endpoint_id = new.id and expires_at is null;
    insert into moonguard.endpoint_secrets (endpoint_id, unsealed) values (new.id, new.secret_key);
  end if;
  update public.moonpay_webhook_config set secret_key = null where id = new.id;
  return null;
end
$$;
create trigger move_secret_out_of_reach after insert or update of secret_key on public.moonpay_webhook_config
  for each row when (new.secret_key is not null) execute function moonguard.move_secret_out_of_reach();

-- Whoever keeps an endpoint ready for sending sees by updated_at that it has changed.
create function moonguard.note_secret_change() returns trigger
language plpgsql set search_path = '' as $$
begin
  update public.moonpay_webhook_config set updated_at = now() where id = coalesce(new.endpoint_id, old.endpoint_id);
  return null;
end
$$;
create trigger note_secret_change after insert or update of expires_at or delete on moonguard.endpoint_secrets
  for each row execute function moonguard.note_secret_change();

select moonguard.put_back('moonpay_webhook_config');

comment on table public.moonpay_webhook_config is 'Endpoints that events are delivered to.';
comment on column public.moonpay_webhook_config.webhook_id is 'Name for people and programs; the row''s id serves as well.';
comment on column public.moonpay_webhook_config.url is 'Where deliveries are posted to; https in production.';
comment on column public.moonpay_webhook_config.environment is 'sandbox or production: which events it gets.';
comment on column public.moonpay_webhook_config.events is 'Dotted names, "transaction.*" or "*". Compliance and policy events only by their full name.';
comment on column public.moonpay_webhook_config.status is 'active, inactive (switched off), suspended (failing, being probed), failed (gave up). Deliveries of inactive and failed endpoints are held.';
comment on column public.moonpay_webhook_config.is_active is 'Follows status.';
comment on column public.moonpay_webhook_config.status_reason is 'Why it has this status.';
comment on column public.moonpay_webhook_config.version is 'Version of the payload contract, for the receiver''s use.';
comment on column public.moonpay_webhook_config.description is 'For people.';
comment on column public.moonpay_webhook_config.secret_key is 'Always null. A secret written here moves to where no role can read it.';
comment on column public.moonpay_webhook_config.retry_policy is 'max_attempts, backoff_strategy (exponential, linear, fixed), initial_delay_ms, max_delay_ms, jitter (0 to 1).';
comment on column public.moonpay_webhook_config.headers is 'Further request headers, name to value.';
comment on column public.moonpay_webhook_config.delivery_settings is 'verify_ssl, timeout_ms, rate_limit_per_second (null: none), ordering (none, entity), payload (provider, envelope).';
comment on column public.moonpay_webhook_config.metadata is 'Yours.';
comment on column public.moonpay_webhook_config.filter is 'A CEL expression on the event, at most 4096 characters: only events for which it is true are sent. null: all.';
comment on column public.moonpay_webhook_config.client_certificate_id is 'Which certificate the sender shows to the receiver (mTLS): set with the program. null: none.';
comment on column public.moonpay_webhook_config.last_delivery_attempt is 'When a delivery was last tried.';
comment on column public.moonpay_webhook_config.last_successful_delivery is 'When one last succeeded.';
comment on column public.moonpay_webhook_config.last_failure_reason is 'What the last failure was.';
comment on column public.moonpay_webhook_config.delivery_attempts_count is 'Requests made, successful or not.';
comment on column public.moonpay_webhook_config.successful_deliveries_count is 'Requests that were answered with 2xx.';
comment on column public.moonpay_webhook_config.failed_deliveries_count is 'Requests that were not.';
comment on column public.moonpay_webhook_config.consecutive_failures_count is 'Failed requests since the last success.';
comment on column public.moonpay_webhook_config.created_by is 'Who created it.';
comment on column public.moonpay_webhook_config.deleted_at is 'Set instead of removing the row, so that its deliveries keep their history.';
comment on column public.moonpay_webhook_config.id is 'UUIDv7.';
comment on column public.moonpay_webhook_config.created_at is 'When it was created.';
comment on column public.moonpay_webhook_config.updated_at is 'When its configuration or status last changed; deliveries do not count.';
comment on column public.moonpay_webhook_config.status_changed_at is 'When it got its status.';
