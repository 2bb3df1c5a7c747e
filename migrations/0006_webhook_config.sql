-- Why: the endpoints that events are delivered to, their secrets, and the provider keys that events are verified with.
-- Locks: ACCESS EXCLUSIVE on moonpay_webhook_config where an earlier version of it exists; it has few rows.
-- Older program: an older hand-made program may go on writing; what it writes must satisfy the checks.

create table if not exists public.moonpay_webhook_config (id uuid primary key default moonguard.uuid_v7());

select moonguard.retire_handmade_rules('public.moonpay_webhook_config');

alter table public.moonpay_webhook_config
  add column if not exists webhook_id text,
  add column if not exists url text,
  add column if not exists environment text,
  add column if not exists events text[],
  add column if not exists status text,
  add column if not exists is_active boolean,
  add column if not exists version text,
  add column if not exists description text,
  add column if not exists secret_key text,
  add column if not exists retry_policy jsonb,
  add column if not exists headers jsonb,
  add column if not exists delivery_settings jsonb,
  add column if not exists metadata jsonb,
  add column if not exists last_delivery_attempt timestamptz,
  add column if not exists last_successful_delivery timestamptz,
  add column if not exists last_failure_reason text,
  add column if not exists delivery_attempts_count integer,
  add column if not exists successful_deliveries_count integer,
  add column if not exists failed_deliveries_count integer,
  add column if not exists created_by text,
  add column if not exists created_at timestamptz,
  add column if not exists updated_at timestamptz,
  add column if not exists status_reason text,
  add column if not exists status_changed_at timestamptz not null default now(),
  add column if not exists consecutive_failures_count integer not null default 0,
  add column if not exists deleted_at timestamptz;

-- One spelling of every setting. Older ones are understood: max_delay and initial_delay in milliseconds,
-- delivery_settings.timeout in seconds, camelCase. An unknown key is kept, so that the check below can name it.
create function moonguard.normalize_retry_policy(p_policy jsonb) returns jsonb
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(coalesce(p_policy, '{}')) <> 'object' then p_policy else
    jsonb_build_object('max_attempts', 16, 'backoff_strategy', 'exponential', 'initial_delay_ms', 5000, 'max_delay_ms', 21600000, 'jitter', 0.2)
    || coalesce((
      select jsonb_object_agg(coalesce(spelling.canonical, given.key),
        case
          when spelling.canonical = 'jitter' and given.value = 'true' then '0.2'::jsonb
          when spelling.canonical = 'jitter' and given.value = 'false' then '0'::jsonb
          else given.value
        end)
      from jsonb_each(p_policy) given
      left join (values
        ('maxAttempts', 'max_attempts'), ('max_retries', 'max_attempts'), ('maxRetries', 'max_attempts'),
        ('backoffStrategy', 'backoff_strategy'), ('strategy', 'backoff_strategy'), ('backoff', 'backoff_strategy'),
        ('initial_delay', 'initial_delay_ms'), ('initialDelay', 'initial_delay_ms'), ('initialDelayMs', 'initial_delay_ms'),
        ('max_delay', 'max_delay_ms'), ('maxDelay', 'max_delay_ms'), ('maxDelayMs', 'max_delay_ms'), ('jitter', 'jitter')
      ) as spelling (older, canonical) on spelling.older = given.key
      where given.value <> 'null'), '{}')
  end
$$;

create function moonguard.normalize_delivery_settings(p_settings jsonb) returns jsonb
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(coalesce(p_settings, '{}')) <> 'object' then p_settings else
    jsonb_build_object('verify_ssl', true, 'timeout_ms', 15000, 'rate_limit_per_second', null, 'ordering', 'none', 'payload', 'provider')
    || coalesce((
      select jsonb_object_agg(coalesce(spelling.canonical, given.key),
        case when given.key = 'timeout' and jsonb_typeof(given.value) = 'number'
          then to_jsonb(((given.value #>> '{}')::numeric * 1000)::bigint) else given.value end)
      from jsonb_each(p_settings) given
      left join (values
        ('timeout', 'timeout_ms'), ('timeoutMs', 'timeout_ms'), ('verifySsl', 'verify_ssl'), ('verifySSL', 'verify_ssl'),
        ('ssl_verification', 'verify_ssl'), ('sslVerification', 'verify_ssl'), ('rateLimitPerSecond', 'rate_limit_per_second')
      ) as spelling (older, canonical) on spelling.older = given.key
      where given.value <> 'null' or given.key = 'rate_limit_per_second'), '{}')
  end
$$;

-- The number behind a key, or null: a check on text in its place fails instead of raising.
create function moonguard.setting_number(p_settings jsonb, p_key text) returns numeric
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(p_settings -> p_key) = 'number' then (p_settings ->> p_key)::numeric end
$$;

create function moonguard.retry_policy_is_valid(p_policy jsonb) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select coalesce(jsonb_typeof(p_policy) = 'object'
    and p_policy - array['max_attempts', 'backoff_strategy', 'initial_delay_ms', 'max_delay_ms', 'jitter'] = '{}'
    and moonguard.setting_number(p_policy, 'max_attempts') between 1 and 100
    and moonguard.setting_number(p_policy, 'max_attempts') % 1 = 0
    and p_policy ->> 'backoff_strategy' in ('exponential', 'linear', 'fixed')
    and moonguard.setting_number(p_policy, 'initial_delay_ms') between 0 and 604800000
    and moonguard.setting_number(p_policy, 'max_delay_ms') between moonguard.setting_number(p_policy, 'initial_delay_ms') and 604800000
    and moonguard.setting_number(p_policy, 'jitter') between 0 and 1, false)
$$;

create function moonguard.delivery_settings_are_valid(p_settings jsonb) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select coalesce(jsonb_typeof(p_settings) = 'object'
    and p_settings - array['verify_ssl', 'timeout_ms', 'rate_limit_per_second', 'ordering', 'payload'] = '{}'
    and jsonb_typeof(p_settings -> 'verify_ssl') = 'boolean'
    and moonguard.setting_number(p_settings, 'timeout_ms') between 100 and 60000
    and (p_settings -> 'rate_limit_per_second' = 'null' or moonguard.setting_number(p_settings, 'rate_limit_per_second') > 0)
    and p_settings ->> 'ordering' in ('none', 'entity')
    and p_settings ->> 'payload' in ('provider', 'envelope'), false)
$$;

-- A name may not begin with what the sender itself sets; a value may not break out of its line.
create function moonguard.endpoint_headers_are_valid(p_headers jsonb) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(p_headers) <> 'object' then false else not exists (
    select from jsonb_each(p_headers) header
    where header.key !~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$'
      or jsonb_typeof(header.value) <> 'string'
      or header.value #>> '{}' ~ '[\r\n]'
      or lower(header.key) ~ '^(webhook-.*|moonpay-signature.*|proxy-.*|content-type|content-length|content-encoding|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect)$'
  ) end
$$;

-- Literal addresses only; a name is looked up, and refused, when it is connected to.
create function moonguard.url_is_private(p_url text) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  v_host text := lower(substring(p_url from '^[a-zA-Z]+://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/:?#]*)'));
  v_address inet;
begin
  if v_host is null or v_host = '' then
    return false;
  end if;
  if v_host ~ '^(localhost|.*\.localhost|.*\.local|.*\.internal)\.?$' or v_host ~ '^[0-9]+$' or v_host ~ '^0x' then
    return true;
  end if;
  begin
    v_address := trim(both '[]' from v_host)::inet;
  exception when invalid_text_representation then
    return false;
  end;
  return v_address <<= any (array['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '169.254.0.0/16', '172.16.0.0/12',
      '192.0.0.0/24', '192.168.0.0/16', '198.18.0.0/15', '224.0.0.0/3', '::/96', '::ffff:0:0/96', '64:ff9b::/96', 'fc00::/7',
      'fe80::/10', 'ff00::/8']::inet[]);
end
$$;

-- What an earlier version left. Clear cases are put right; a row that would break a rule no longer delivers, is kept as
-- it was otherwise, and is reported. (A row that breaks a rule cannot be updated, and delivering updates counters.)
do $adopt$
begin
  -- Its own uniqueness counted deleted rows too.
  execute coalesce((
    select string_agg(format('alter table public.moonpay_webhook_config drop constraint %I;', c.conname), ' ')
    from pg_catalog.pg_constraint c
    where c.conrelid = 'public.moonpay_webhook_config'::regclass and c.contype = 'u'
      and (select array_agg(a.attname::text order by a.attname) from pg_catalog.pg_attribute a
           where a.attrelid = c.conrelid and a.attnum = any (c.conkey)) = array['environment', 'url']), '');
  perform moonguard.drop_not_null('public.moonpay_webhook_config', 'secret_key', 'description', 'created_by', 'version', 'headers');

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'status is active and is_active is false', 'corrected: status is inactive: it did not deliver and does not'
  from public.moonpay_webhook_config where status = 'active' and not is_active;
  update public.moonpay_webhook_config set status = 'inactive', status_reason = 'is_active was false' where status = 'active' and not is_active;

  update public.moonpay_webhook_config set
    webhook_id = coalesce(webhook_id, 'wh_' || replace(id::text, '-', '')),
    status = coalesce(status, case when is_active is false then 'inactive' else 'active' end),
    retry_policy = moonguard.normalize_retry_policy(retry_policy),
    delivery_settings = moonguard.normalize_delivery_settings(delivery_settings),
    headers = coalesce(headers, '{}'),
    metadata = coalesce(metadata, '{}'),
    delivery_attempts_count = coalesce(delivery_attempts_count, 0),
    successful_deliveries_count = coalesce(successful_deliveries_count, 0),
    failed_deliveries_count = coalesce(failed_deliveries_count, 0),
    created_at = coalesce(created_at, updated_at, now()),
    updated_at = coalesce(updated_at, created_at, now());
  update public.moonpay_webhook_config set is_active = (status = 'active') where is_active is distinct from (status = 'active');

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'metadata is no object', 'corrected: kept under the key "value"'
  from public.moonpay_webhook_config where jsonb_typeof(metadata) <> 'object';
  update public.moonpay_webhook_config set metadata = jsonb_build_object('value', metadata) where jsonb_typeof(metadata) <> 'object';

  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'retry_policy is not valid: ' || retry_policy::text, 'corrected: replaced by the default'
  from public.moonpay_webhook_config where not moonguard.retry_policy_is_valid(retry_policy)
  union all
  select 'moonpay_webhook_config', id::text, 'delivery_settings are not valid: ' || delivery_settings::text, 'corrected: replaced by the default'
  from public.moonpay_webhook_config where not moonguard.delivery_settings_are_valid(delivery_settings);
  update public.moonpay_webhook_config set retry_policy = moonguard.normalize_retry_policy('{}') where not moonguard.retry_policy_is_valid(retry_policy);
  update public.moonpay_webhook_config set delivery_settings = moonguard.normalize_delivery_settings('{}')
  where not moonguard.delivery_settings_are_valid(delivery_settings);

  -- The newest of several rows for one address goes on; the others are kept as deleted.
  with ranked as (
    select id, row_number() over (partition by url, environment order by (status = 'active') desc, created_at desc, id desc) as place
    from public.moonpay_webhook_config
  ), older as (
    update public.moonpay_webhook_config c
    set deleted_at = now(), status = 'inactive', is_active = false, status_reason = 'another row had the same url and environment'
    from ranked where ranked.id = c.id and ranked.place > 1
    returning c.id
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, 'another row has the same url and environment', 'corrected: kept as deleted; the newest active row goes on' from older;

  with broken as (
    select id, case
        when coalesce(cardinality(events), 0) = 0 then 'events is empty'
        when array_position(events, null) is not null or '' = any (events) then 'events has an empty entry'
        when url is null or url !~ '^https?://[^/?#]+' then 'url is no http or https address'
        when environment is null or environment not in ('sandbox', 'production') then 'environment is neither sandbox nor production'
        when status not in ('active', 'inactive', 'suspended', 'failed') then 'status is unknown: ' || status
        when url ~ '^https?://[^/?#]*@' then 'url has credentials in it'
        when environment = 'production' and url !~ '^https://' then 'url of a production endpoint is not https'
        when environment = 'production' and moonguard.url_is_private(url) then 'url of a production endpoint is a private address'
        when not moonguard.endpoint_headers_are_valid(headers) then 'headers are not valid'
      end as reason
    from public.moonpay_webhook_config
  ), stopped as (
    update public.moonpay_webhook_config c
    set status = 'inactive', is_active = false, status_reason = broken.reason
    from broken where broken.id = c.id and broken.reason is not null
    returning c.id, broken.reason
  )
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  select 'moonpay_webhook_config', id::text, reason, 'action needed: the endpoint is inactive until this is corrected' from stopped;
end
$adopt$;

alter table public.moonpay_webhook_config
  alter column id set default moonguard.uuid_v7(),
  alter column webhook_id set default 'wh_' || replace(moonguard.uuid_v7()::text, '-', ''),
  alter column environment set default 'sandbox',
  alter column status set default 'active',
  alter column is_active set default true,
  alter column version set default 'v1',
  alter column retry_policy set default moonguard.normalize_retry_policy('{}'),
  alter column delivery_settings set default moonguard.normalize_delivery_settings('{}'),
  alter column headers set default '{}',
  alter column metadata set default '{}',
  alter column delivery_attempts_count set default 0,
  alter column successful_deliveries_count set default 0,
  alter column failed_deliveries_count set default 0,
  alter column created_at set default now(),
  alter column updated_at set default now(),
  alter column webhook_id set not null,
  alter column status set not null,
  alter column is_active set not null,
  alter column retry_policy set not null,
  alter column delivery_settings set not null,
  alter column headers set not null,
  alter column metadata set not null,
  alter column delivery_attempts_count set not null,
  alter column successful_deliveries_count set not null,
  alter column failed_deliveries_count set not null,
  alter column created_at set not null,
  alter column updated_at set not null;

select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_environment_check', $$environment is not null and environment in ('sandbox', 'production')$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_status_check', $$status in ('active', 'inactive', 'suspended', 'failed')$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_is_active_check', $$is_active = (status = 'active')$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_events_check',
  $$coalesce(cardinality(events), 0) > 0 and array_position(events, null) is null and not '' = any (events)$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_url_check', $$url is not null and url ~ '^https?://[^/?#]+'$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_url_https_check', $$environment <> 'production' or url ~ '^https://'$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_url_credentials_check', $$url !~ '^https?://[^/?#]*@'$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_url_private_check',
  $$environment <> 'production' or not moonguard.url_is_private(url)$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_headers_check', $$moonguard.endpoint_headers_are_valid(headers)$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_retry_policy_check', $$moonguard.retry_policy_is_valid(retry_policy)$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_delivery_settings_check',
  $$moonguard.delivery_settings_are_valid(delivery_settings)$$);
select moonguard.add_check('public.moonpay_webhook_config', 'moonpay_webhook_config_metadata_check', $$jsonb_typeof(metadata) = 'object'$$);

do $unique$
begin
  if not exists (
    select from pg_catalog.pg_index i join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0]
    where i.indrelid = 'public.moonpay_webhook_config'::regclass and i.indisunique and i.indnkeyatts = 1 and a.attname = 'webhook_id' and i.indpred is null
  ) then
    alter table public.moonpay_webhook_config add constraint moonpay_webhook_config_webhook_id_key unique (webhook_id);
  end if;
end
$unique$;
create unique index moonpay_webhook_config_live_url_key on public.moonpay_webhook_config (url, environment) where deleted_at is null;
create index moonpay_webhook_config_metadata_idx on public.moonpay_webhook_config using gin (metadata jsonb_path_ops);

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

insert into moonguard.endpoint_secrets (endpoint_id, unsealed)
select id, secret_key from public.moonpay_webhook_config where secret_key <> '';
insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
select 'moonpay_webhook_config', id::text, 'secret_key held a secret in plain text', 'corrected: moved out of reach of every role; encrypted when the program starts'
from public.moonpay_webhook_config where secret_key <> '';
update public.moonpay_webhook_config set secret_key = null where secret_key is not null;

create function moonguard.webhook_config_before_write() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.retry_policy := moonguard.normalize_retry_policy(new.retry_policy);
  new.delivery_settings := moonguard.normalize_delivery_settings(new.delivery_settings);
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
        new.delivery_settings, new.metadata, new.deleted_at)
      is distinct from (old.url, old.environment, old.events, old.status, old.version, old.description, old.retry_policy, old.headers,
        old.delivery_settings, old.metadata, old.deleted_at) then
      new.updated_at := now();
    end if;
  end if;
  return new;
end
$$;
create trigger webhook_config_before_write before insert or update on public.moonpay_webhook_config
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
comment on column public.moonpay_webhook_config.last_delivery_attempt is 'When a delivery was last tried.';
comment on column public.moonpay_webhook_config.last_successful_delivery is 'When one last succeeded.';
comment on column public.moonpay_webhook_config.last_failure_reason is 'What the last failure was.';
comment on column public.moonpay_webhook_config.delivery_attempts_count is 'Requests made, successful or not.';
comment on column public.moonpay_webhook_config.successful_deliveries_count is 'Requests that were answered with 2xx.';
comment on column public.moonpay_webhook_config.failed_deliveries_count is 'Requests that were not.';
comment on column public.moonpay_webhook_config.consecutive_failures_count is 'Failed requests since the last success.';
comment on column public.moonpay_webhook_config.created_by is 'Who created it.';
comment on column public.moonpay_webhook_config.deleted_at is 'Set instead of removing the row, so that its deliveries keep their history.';
