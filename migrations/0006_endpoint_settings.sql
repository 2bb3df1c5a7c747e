-- Why: how an endpoint is delivered to: one spelling of its settings, and what is valid. Checks and triggers of
--   moonpay_webhook_config use these functions.
-- Locks: none.
-- Older program: there is none.

-- One spelling of every setting. Older ones are understood: initial_delay, max_delay and timeout in milliseconds,
-- delivery_settings.timeout in seconds, camelCase. An unknown key is kept, so that the check below refuses it.
create function moonguard.normalize_retry_policy(p_policy jsonb) returns jsonb
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(coalesce(p_policy, '{}')) <> 'object' then p_policy else
    jsonb_build_object('max_attempts', 16, 'backoff_strategy', 'exponential', 'initial_delay_ms', 5000, 'max_delay_ms', 21600000, 'jitter', 0.2)
    || coalesce((
      select jsonb_object_agg(coalesce(spelling.canonical, given.key),
        case
          when spelling.canonical = 'jitter' and given.value = 'true' then '0.2'::jsonb
          when spelling.canonical = 'jitter' and given.value = 'false' then '0'::jsonb
          -- Retries come after the first attempt.
          when given.key in ('max_retries', 'maxRetries') and jsonb_typeof(given.value) = 'number'
            then to_jsonb((given.value #>> '{}')::numeric + 1)
          else given.value
        end)
      from jsonb_each(p_policy) given
      left join (values
        ('maxAttempts', 'max_attempts'), ('max_retries', 'max_attempts'), ('maxRetries', 'max_attempts'),
        ('backoffStrategy', 'backoff_strategy'), ('strategy', 'backoff_strategy'), ('backoff', 'backoff_strategy'),
        ('initial_delay', 'initial_delay_ms'), ('initialDelay', 'initial_delay_ms'), ('initialDelayMs', 'initial_delay_ms'),
        ('max_delay', 'max_delay_ms'), ('maxDelay', 'max_delay_ms'), ('maxDelayMs', 'max_delay_ms'), ('jitter', 'jitter')
      ) as spelling (older, canonical) on spelling.older = given.key
      -- The timeout belongs to delivery_settings today.
      where given.value <> 'null' and given.key <> 'timeout'), '{}')
  end
$$;

-- p_policy as it was given: an older one holds the timeout, in milliseconds.
create function moonguard.normalize_delivery_settings(p_settings jsonb, p_policy jsonb default null) returns jsonb
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(coalesce(p_settings, '{}')) <> 'object' then p_settings else
    jsonb_build_object('verify_ssl', true, 'timeout_ms', coalesce(nullif(p_policy -> 'timeout', 'null'), '15000'),
      'rate_limit_per_second', null, 'ordering', 'none', 'payload', 'provider')
    || coalesce((
      select jsonb_object_agg(coalesce(spelling.canonical, given.key),
        case when given.key = 'timeout' and jsonb_typeof(given.value) = 'number'
          then to_jsonb(round((given.value #>> '{}')::numeric * 1000)) else given.value end)
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
    and moonguard.setting_number(p_policy, 'initial_delay_ms') % 1 = 0
    and moonguard.setting_number(p_policy, 'max_delay_ms') between moonguard.setting_number(p_policy, 'initial_delay_ms') and 604800000
    and moonguard.setting_number(p_policy, 'max_delay_ms') % 1 = 0
    and moonguard.setting_number(p_policy, 'jitter') between 0 and 1, false)
$$;

create function moonguard.delivery_settings_are_valid(p_settings jsonb) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select coalesce(jsonb_typeof(p_settings) = 'object'
    and p_settings - array['verify_ssl', 'timeout_ms', 'rate_limit_per_second', 'ordering', 'payload'] = '{}'
    and jsonb_typeof(p_settings -> 'verify_ssl') = 'boolean'
    and moonguard.setting_number(p_settings, 'timeout_ms') between 100 and 60000
    and moonguard.setting_number(p_settings, 'timeout_ms') % 1 = 0
    and (p_settings -> 'rate_limit_per_second' = 'null'
      or (moonguard.setting_number(p_settings, 'rate_limit_per_second') > 0 and moonguard.setting_number(p_settings, 'rate_limit_per_second') <= 10000))
    and p_settings ->> 'ordering' in ('none', 'entity')
    and p_settings ->> 'payload' in ('provider', 'envelope'), false)
$$;

-- A header that the sender itself sets.
create function moonguard.header_is_reserved(p_name text) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select lower(p_name) ~ '^(webhook-.*|moonpay-signature.*|proxy-.*|content-type|content-length|content-encoding|host|connection|keep-alive|te|trailer|transfer-encoding|upgrade|expect)$'
$$;

-- Names are tokens of RFC 9110; a value is printable Latin-1, so that it cannot break out of its line.
create function moonguard.endpoint_headers_are_valid(p_headers jsonb) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select case when jsonb_typeof(p_headers) <> 'object' then false else (
    select count(*) <= 50 and count(*) = count(distinct lower(header.key))
      and coalesce(sum(length(header.key) + length(header.value #>> '{}')), 0) <= 8192
      and coalesce(bool_and(header.key ~ '^[A-Za-z0-9!#$%&''*+.^_`|~-]+$' and not moonguard.header_is_reserved(header.key)
        and jsonb_typeof(header.value) = 'string' and header.value #>> '{}' ~ '^[\t -~\u00a0-\u00ff]*$'), true)
    from jsonb_each(p_headers) header
  ) end
$$;

-- Literal addresses only; a name is looked up, and refused, when it is connected to.
create function moonguard.url_is_private(p_url text) returns boolean
language plpgsql immutable set search_path = '' as $$
declare
  v_host text := rtrim(lower(substring(p_url from '^[a-zA-Z]+://(?:[^/?#@]*@)?(\[[^\]]*\]|[^/:?#]*)')), '.');
  v_address inet;
begin
  if v_host is null or v_host = '' then
    return false;
  end if;
  if v_host ~ '(^|\.)(localhost|local|internal)$' then
    return true;
  end if;
  begin
    v_address := trim(both '[]' from v_host)::inet;
  exception when invalid_text_representation then
    -- 127.1, 0x7f.1 and 2130706433 are 127.0.0.1 to whoever opens the URL: no other name ends in a number.
    return v_host ~ '(^|\.)([0-9]+|0x[0-9a-f]*)$';
  end;
  if family(v_address) = 6 then
    -- Outside of 2000::/3 nothing is public; 2001::/32 and 2002::/16 hold an IPv4 address, 2001:db8::/32 is for examples.
    return not v_address <<= '2000::/3' or v_address <<= any (array['2001::/32', '2001:db8::/32', '2002::/16']::inet[]);
  end if;
  -- 0177.0.0.1 is 127.0.0.1 too: in a URL a leading zero makes a number octal.
  return host(v_address) <> v_host or v_address <<= any (array['0.0.0.0/8', '10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '168.63.129.16/32', '169.254.0.0/16', '172.16.0.0/12',
      '192.0.0.0/24', '192.0.2.0/24', '192.88.99.0/24', '192.168.0.0/16', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24',
      '224.0.0.0/3']::inet[]);
end
$$;
