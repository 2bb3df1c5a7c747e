-- Why: what a delivery worker asks of the database: lease what is due, write results. As functions, their plans are kept
--   for the session, also behind a transaction pooler and on the embedded database, and each takes one round trip.
-- Locks: none.
-- Older program: there is none.

alter table moonguard.endpoint_pace enable row level security;
create policy owner_only on moonguard.endpoint_pace using (false);

-- Tells endpoints about one of them: an event of our own, with a delivery for each of the others that subscribed to its name.
-- About one that names confidential events only others that do hear: that its delivery failed tells that there was an alert.
create function moonguard.raise_operational_event(p_about uuid, p_name text, p_data jsonb) returns void
language plpgsql set search_path = '' as $$
declare
  v_id uuid := moonguard.uuid_v7();
  v_sequence bigint := nextval('moonguard.event_sequence');
  v_about record;
  v_body jsonb;
begin
  select environment, webhook_id, moonguard.names_confidential(events) as is_confidential into v_about
  from public.moonpay_webhook_config where id = p_about;
  v_body := jsonb_build_object('type', p_name,
    'data', jsonb_build_object('id', v_id, 'webhookId', v_about.webhook_id, 'createdAt', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')) || p_data);
  insert into public.moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment, dedupe_key,
    occurred_at, processed, processed_at, sequence)
  values (v_id, p_name, p_name, v_body, convert_to(v_body::text, 'UTF8'), '', v_about.environment, p_name || ':' || v_id, now(), true, now(), v_sequence);
  insert into moonguard.deliveries (event_id, endpoint_id, status, event_sequence)
  select v_id, c.id, case when c.status in ('active', 'suspended') then 'pending' else 'held' end, v_sequence
  from public.moonpay_webhook_config c
  where c.environment = v_about.environment and c.deleted_at is null and c.id <> p_about
    and c.events && array[p_name, split_part(p_name, '.', 1) || '.*', '*']
    and (not v_about.is_confidential or moonguard.names_confidential(c.events));
  perform pg_notify('moonguard_deliveries', '');
end
$$;

-- When an endpoint whose requests are bounded in time may get its next ones: at free_at, then spacing_ms apart, room of them
-- within the next second. No row when another worker is giving them out at this moment.
--   rate limit: spaced out evenly, so that no second has more.
--   suspended: one, then nothing until the next probe.
--   recovered: slow start, 10 a second, doubling every 10 s; after 100 s it bounds nothing any more.
create function moonguard.endpoint_pace_now(p_endpoint_id uuid, p_rate double precision, p_now timestamptz)
returns table (free_at timestamptz, spacing_ms double precision, room integer)
language plpgsql set search_path = '' as $$
begin
  insert into moonguard.endpoint_pace (endpoint_id) values (p_endpoint_id) on conflict (endpoint_id) do nothing;
  return query
  select greatest(pace.next_free_at, p_now), 1000 / p_rate,
    -- A rate below one a second is a probe's, or as slow: one when it is free, none on account.
    case when p_rate < 1 then (pace.next_free_at <= p_now)::integer
      else floor(extract(epoch from p_now + interval '1 second' - greatest(pace.next_free_at, p_now)) * p_rate)::integer + 1 end
  from moonguard.endpoint_pace pace where pace.endpoint_id = p_endpoint_id for no key update skip locked;
end
$$;

-- Requests a second that an endpoint may get; null when nothing bounds them.
create function moonguard.endpoint_rate(p_status text, p_delivery_settings jsonb, p_recovered_at timestamptz, p_probe_ms integer, p_now timestamptz)
returns double precision
language plpgsql stable set search_path = '' as $$
begin
  if p_status = 'suspended' then
    return 1000 / greatest(p_probe_ms, (p_delivery_settings ->> 'timeout_ms')::integer)::double precision;
  end if;
  return least((p_delivery_settings ->> 'rate_limit_per_second')::double precision,
    case when p_recovered_at > p_now - interval '100 seconds' then 10 * power(2, extract(epoch from p_now - p_recovered_at) / 10) end);
end
$$;

-- For deliveries that were claimed without regard to the pace, because the endpoint's filter had to choose among them first:
-- how many of p_wanted may be begun, when, and how far apart.
create function moonguard.reserve_requests(p_endpoint_id uuid, p_wanted integer, p_probe_ms integer)
returns table (granted integer, wait_ms double precision, spacing_ms double precision)
language plpgsql set search_path = '' as $$
declare
  v_rate double precision;
  v_pace record;
begin
  select moonguard.endpoint_rate(c.status, c.delivery_settings, pace.recovered_at, p_probe_ms, now()) into v_rate
  from public.moonpay_webhook_config c left join moonguard.endpoint_pace pace on pace.endpoint_id = c.id where c.id = p_endpoint_id;
  if v_rate is null then
    return query select p_wanted, 0::double precision, 0::double precision;
    return;
  end if;
  select * into v_pace from moonguard.endpoint_pace_now(p_endpoint_id, v_rate, now());
  granted := coalesce(least(v_pace.room, p_wanted), 0);
  if granted > 0 then
    update moonguard.endpoint_pace pace set next_free_at = v_pace.free_at + make_interval(secs => granted * v_pace.spacing_ms / 1000)
    where pace.endpoint_id = p_endpoint_id;
  end if;
  wait_ms := coalesce(extract(epoch from v_pace.free_at - now()) * 1000, 0);
  spacing_ms := 1000 / v_rate;
  return next;
end
$$;

-- Leases what is due and returns it with all that sending takes. For each endpoint come its deliveries, in the order of
-- arrival, as [id, event_id, attempts that the schedule counts, is_resend, is_ordered, event_name, event_type, occurred_at in unix
-- ms, data as text], each with its body; then a row with the endpoint. (One JSON value is read faster than ten columns, and a
-- body of ASCII in the format "escape" is as long as it is: bytea would be sent in hexadecimal.) Of one endpoint's bodies come
-- about 16 MiB at most. p_rooms says how many this worker can take for each endpoint it knows,
-- p_default_room for the others; of p_limit every endpoint with something due gets its share. has_more: p_rooms had no room for more.
--
-- An endpoint whose requests are bounded in time gets as many as may begin within the next second: the first wait_ms from
-- now, the others spacing_ms apart. Where a filter has to choose first (to_be_chosen), reserve_requests says so afterwards.
--
-- `= any (array (…))` pins the plan: the rows are found through the partial index on what is pending, whatever the statistics
-- say. `update … from` read the whole table (15.8 against 3.6 ms for a batch).
create function moonguard.claim_deliveries(p_limit integer, p_default_room integer, p_rooms jsonb, p_lease_ms integer, p_lease_token uuid,
  p_probe_ms integer, p_now timestamptz default null)
returns table (delivery json, escaped_body text, endpoint jsonb, has_more boolean, to_be_chosen boolean, wait_ms double precision, spacing_ms double precision)
language plpgsql set search_path = '' set enable_seqscan = 'off' set enable_bitmapscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
#variable_conflict use_column
declare
  v_now timestamptz := coalesce(p_now, now());
  v_due uuid[];
  v_endpoint record;
  v_room integer;
  v_taken integer;
  v_free_at timestamptz;
  v_spacing_ms double precision;
begin
  -- A lease that a crash takes back is due again: nobody has to wait until it is on disk.
  perform set_config('synchronous_commit', 'off', true);

  -- One probe of the index an endpoint, however many deliveries it has.
  with recursive lane as (
    (select d.endpoint_id, d.next_attempt_at from moonguard.deliveries d where d.status = 'pending'
     order by d.endpoint_id, d.next_attempt_at limit 1)
    union all
    select following.endpoint_id, following.next_attempt_at from lane cross join lateral (
      select d.endpoint_id, d.next_attempt_at from moonguard.deliveries d where d.status = 'pending' and d.endpoint_id > lane.endpoint_id
      order by d.endpoint_id, d.next_attempt_at limit 1) as following
  )
  select array_agg(lane.endpoint_id) into v_due from lane where lane.next_attempt_at <= v_now;

  for v_endpoint in
    select c.id, c.status, least(coalesce((p_rooms ->> c.id::text)::integer, p_default_room), greatest(p_limit / cardinality(v_due), 1)) as room,
      (c.delivery_settings ->> 'timeout_ms')::integer as timeout_ms,
      c.filter is not null as has_filter, c.filter is not null or c.delivery_settings ->> 'payload' = 'envelope' as is_looked_into,
      moonguard.endpoint_rate(c.status, c.delivery_settings, pace.recovered_at, p_probe_ms, v_now) as rate
    from unnest(v_due) as due (id)
    join public.moonpay_webhook_config c on c.id = due.id
    left join moonguard.endpoint_pace pace on pace.endpoint_id = c.id
  loop
    if v_endpoint.status in ('inactive', 'failed') then
      -- An event may be stored, or a result written, at the very moment somebody stops its endpoint.
      perform moonguard.hold_pending_deliveries(v_endpoint.id);
      continue;
    end if;
    continue when v_endpoint.room <= 0;
    v_room := v_endpoint.room;
    v_free_at := v_now;
    v_spacing_ms := 0;
    to_be_chosen := v_endpoint.rate is not null and v_endpoint.has_filter;
    if to_be_chosen then
      v_room := least(v_room, 100);
    elsif v_endpoint.rate is not null then
      select pace.free_at, pace.spacing_ms, least(v_room, pace.room) into v_free_at, v_spacing_ms, v_room
      from moonguard.endpoint_pace_now(v_endpoint.id, v_endpoint.rate, v_now) as pace;
      continue when not found or v_room <= 0;
    end if;

    return query
    with claimed as (
      update moonguard.deliveries d
      set lease_token = p_lease_token,
        leased_until = v_free_at + make_interval(secs => (p_lease_ms + v_endpoint.timeout_ms) / 1000.0) + make_interval(secs => v_room * v_spacing_ms / 1000)
      where d.id = any (array(
        select picked.id from (
          select due.id, body.length, sum(body.length) over (rows unbounded preceding) as length_so_far
          from (
            select due.id, due.event_id, due.event_sequence from moonguard.deliveries due
            where due.status = 'pending' and due.endpoint_id = v_endpoint.id and due.next_attempt_at <= v_now
              and (due.leased_until is null or due.leased_until <= v_now)
              and (due.ordering_key is null or not exists (
                select from moonguard.deliveries earlier
                where earlier.status = 'pending' and earlier.endpoint_id = v_endpoint.id and earlier.ordering_key = due.ordering_key
                  and earlier.event_sequence < due.event_sequence))
            order by due.next_attempt_at, due.event_sequence
            limit v_room
            for update skip locked
          ) as due cross join lateral (
            -- "offset 0": or else the bodies would be sorted along.
            select octet_length(e.raw_body) as length from public.moonpay_webhook_events e where e.id = due.event_id offset 0) as body
        ) as picked where picked.length_so_far - picked.length < 16777216))
      returning d.id, d.event_id, d.event_sequence, d.attempts_count - d.manual_attempts_count as scheduled_attempts,
        d.resend_from is not null as is_resend, d.ordering_key is not null as is_ordered
    ), ready as (
      select json_build_array(claimed.id, claimed.event_id, claimed.scheduled_attempts, claimed.is_resend, claimed.is_ordered,
          event.event_name, event.event_type,
          case when v_endpoint.is_looked_into then extract(epoch from coalesce(event.occurred_at, event.received_at)) * 1000 end,
          case when v_endpoint.is_looked_into then coalesce(nullif(event.event_data -> 'data', 'null'), event.event_data)::text end) as delivery,
        event.raw_body
      from (select * from claimed order by event_sequence offset 0) as claimed
      cross join lateral (select * from public.moonpay_webhook_events e where e.id = claimed.event_id) as event
    )
    select ready.delivery, encode(ready.raw_body, 'escape'), null::jsonb, null::boolean, null::boolean, null::double precision, null::double precision
    from ready;

    get diagnostics v_taken = row_count;
    continue when v_taken = 0;
    if v_spacing_ms > 0 then
      update moonguard.endpoint_pace pace set next_free_at = v_free_at + make_interval(secs => v_taken * v_spacing_ms / 1000)
      where pace.endpoint_id = v_endpoint.id;
    end if;
    delivery := null;
    escaped_body := null;
    endpoint := moonguard.endpoint_to_deliver_to(v_endpoint.id);
    has_more := v_taken = v_room and v_spacing_ms = 0;
    wait_ms := extract(epoch from v_free_at - v_now) * 1000;
    spacing_ms := v_spacing_ms;
    return next;
  end loop;
end
$$;

-- What a worker needs to know of an endpoint. Secrets are sealed; the newest first. changed_at (microseconds) tells one state of
-- it from the next: counters do not move it, secrets do.
create function moonguard.endpoint_to_deliver_to(p_endpoint_id uuid) returns jsonb
language sql stable set search_path = '' as $$
  select jsonb_build_object('id', c.id, 'changed_at', extract(epoch from c.updated_at) * 1000000, 'environment', c.environment, 'url', c.url, 'headers', c.headers, 'retry_policy', c.retry_policy,
    'delivery_settings', c.delivery_settings, 'filter', c.filter, 'client_certificate_id', c.client_certificate_id,
    'secrets', coalesce((
      select jsonb_agg(jsonb_build_object('id', s.id, 'endpoint_id', s.endpoint_id, 'sealed', encode(s.sealed, 'base64'), 'key_id', s.key_id,
          'unsealed', s.unsealed, 'expires_at', extract(epoch from s.expires_at) * 1000)
        order by s.expires_at desc nulls first, s.created_at desc, s.id desc)
      from moonguard.endpoint_secrets s where s.endpoint_id = c.id and (s.expires_at is null or s.expires_at > now())), '[]'))
  from public.moonpay_webhook_config c where c.id = p_endpoint_id
$$;

-- Writes results: the deliveries, one attempt each, the counters and health of their endpoints, and what follows from these:
-- an endpoint that is suspended, recovered or failed, and the events that tell of it. All of it or nothing. A result whose
-- lease has passed to another worker changes nothing at all. Returns those deliveries, which are few, and the endpoints that are
-- not active or were not before, with the reason where that changed.
--
-- Endpoints are locked first and in the order of their ids, as whoever stops an endpoint does it too before its deliveries: no
-- two of these transactions can wait for each other. Of the first eleven arrays each has an element
-- for every result (as JSON a result costs 14 µs, so 12); p_endpoint_ids: their endpoints, once each.
create function moonguard.settle_deliveries(p_delivery_ids uuid[], p_lease_tokens uuid[], p_outcomes text[], p_retry_in_ms double precision[],
  p_started_at_ms double precision[], p_duration_ms integer[], p_response_status integer[], p_response_bodies text[], p_error_classes text[],
  p_error_messages text[], p_is_gone boolean[], p_endpoint_ids uuid[], p_breaker_failures integer, p_probe_ms integer, p_disable_after_ms bigint)
returns table (delivery_id uuid, endpoint_id uuid, endpoint_status text, changed_because text)
language plpgsql set search_path = '' set enable_seqscan = 'off' set enable_bitmapscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
#variable_conflict use_column
declare
  v_settled uuid[];
  v_exhausted uuid[];
  v_changes jsonb;
  v_change record;
begin
  perform from public.moonpay_webhook_config c where c.id = any (p_endpoint_ids) order by c.id for no key update;

  with result as (
    select r.*, to_timestamp(r.started_at_ms / 1000) as started_at
    from unnest(p_delivery_ids, p_lease_tokens, p_outcomes, p_retry_in_ms, p_started_at_ms, p_duration_ms, p_response_status,
        p_response_bodies, p_error_classes, p_error_messages, p_is_gone) as r (
      delivery_id, lease_token, outcome, retry_in_ms, started_at_ms, duration_ms, response_status,
      response_body, error_class, error_message, is_gone)
  ), settled as (
    update moonguard.deliveries d
    set status = case result.outcome when 'retry' then 'pending' when 'resend_failed' then d.resend_from else result.outcome end,
      next_attempt_at = case result.outcome
        when 'retry' then now() + make_interval(secs => result.retry_in_ms / 1000)
        when 'resend_failed' then d.resend_next_attempt_at
        else d.next_attempt_at end,
      leased_until = null,
      lease_token = null,
      resend_from = null,
      resend_next_attempt_at = null,
      attempts_count = d.attempts_count + (result.outcome <> 'filtered')::integer,
      manual_attempts_count = d.manual_attempts_count + (d.resend_from is not null and result.outcome <> 'filtered')::integer,
      last_attempt_at = coalesce(result.started_at, d.last_attempt_at),
      last_response_status = result.response_status,
      last_error_class = result.error_class,
      settled_at = case when result.outcome in ('delivered', 'exhausted', 'filtered') then now() else d.settled_at end
    from result
    where d.id = result.delivery_id and d.lease_token = result.lease_token and d.status = 'pending'
    returning d.endpoint_id, d.attempts_count, result.*
  ), requested as (
    select * from settled where outcome <> 'filtered'
  ), attempt as (
    insert into moonguard.delivery_attempts (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome,
      response_status, response_body, error_class, error_message)
    select delivery_id, endpoint_id, attempts_count, started_at, duration_ms, outcome, response_status,
      decode(response_body, 'base64'), error_class, error_message
    from requested
  ), health as (
    select endpoint_id,
      count(*) as attempts,
      count(*) filter (where outcome = 'delivered') as successes,
      max(started_at) as last_attempt,
      max(started_at) filter (where outcome = 'delivered') as last_success,
      (array_agg(coalesce(error_message, error_class) order by started_at desc) filter (where outcome <> 'delivered'))[1] as last_failure,
      bool_or(is_gone) as is_gone
    from requested group by endpoint_id
  ), counted as (
    update public.moonpay_webhook_config c
    set delivery_attempts_count = c.delivery_attempts_count + health.attempts,
      successful_deliveries_count = c.successful_deliveries_count + health.successes,
      failed_deliveries_count = c.failed_deliveries_count + health.attempts - health.successes,
      last_delivery_attempt = greatest(c.last_delivery_attempt, health.last_attempt),
      last_successful_delivery = greatest(c.last_successful_delivery, health.last_success),
      last_failure_reason = coalesce(health.last_failure, c.last_failure_reason),
      consecutive_failures_count = case when health.successes = 0 then c.consecutive_failures_count + health.attempts
        else (select count(*) from requested r where r.endpoint_id = c.id and r.outcome <> 'delivered' and r.started_at > health.last_success) end
    from health where c.id = health.endpoint_id
    returning c.id, c.status, c.last_failure_reason, c.consecutive_failures_count, case
      when c.status in ('inactive', 'failed') then null
      when health.is_gone then 'failed'
      when c.status = 'suspended' and health.successes > 0 then 'active'
      when c.status = 'suspended' and c.status_changed_at <= now() - make_interval(secs => p_disable_after_ms / 1000.0) then 'failed'
      when c.status = 'active' and c.consecutive_failures_count >= p_breaker_failures then 'suspended'
    end as change, health.is_gone
  )
  select array_agg(delivery_id), array_agg(delivery_id) filter (where outcome = 'exhausted'),
    (select jsonb_agg(to_jsonb(counted) order by counted.id) from counted where counted.change is not null or counted.status <> 'active')
  into v_settled, v_exhausted, v_changes from settled;

  if v_exhausted is not null then
    perform moonguard.raise_operational_event(d.endpoint_id, 'webhook.delivery_exhausted', jsonb_build_object('deliveryId', d.id, 'eventId', d.event_id,
      'eventName', e.event_name, 'attempts', d.attempts_count, 'lastResponseStatus', d.last_response_status, 'lastErrorClass', d.last_error_class))
    from moonguard.deliveries d join public.moonpay_webhook_events e on e.id = d.event_id
    -- Two endpoints that fail would tell each other of it for ever.
    where d.id = any (v_exhausted) and e.event_name not like 'webhook.%';
  end if;

  for v_change in
    select * from jsonb_to_recordset(v_changes) as c (
      id uuid, status text, last_failure_reason text, consecutive_failures_count integer, change text, is_gone boolean)
  loop
    delivery_id := null;
    endpoint_id := v_change.id;
    endpoint_status := coalesce(v_change.change, v_change.status);
    changed_because := case
      when v_change.change = 'active' then 'a probe succeeded'
      when v_change.change = 'suspended' then format('%s requests failed in a row, the last one: %s', v_change.consecutive_failures_count, v_change.last_failure_reason)
      when v_change.change = 'failed' and v_change.is_gone then 'the receiver answered 410 Gone'
      when v_change.change = 'failed' then format('no request succeeded since it was suspended, the last one: %s', v_change.last_failure_reason)
    end;
    return next;
    continue when v_change.change is null;
    perform set_config('moonguard.actor', 'system', true);
    update public.moonpay_webhook_config c set status = v_change.change, status_reason = changed_because where c.id = v_change.id;
    insert into moonguard.endpoint_pace as pace (endpoint_id, next_free_at, recovered_at)
    values (v_change.id, case v_change.change when 'suspended' then now() + make_interval(secs => p_probe_ms / 1000.0) else now() end,
      case v_change.change when 'active' then now() end)
    on conflict on constraint endpoint_pace_pkey do update set next_free_at = excluded.next_free_at, recovered_at = excluded.recovered_at;
    perform moonguard.raise_operational_event(v_change.id,
      case v_change.change when 'active' then 'webhook.endpoint_recovered' else 'webhook.endpoint_' || v_change.change end,
      jsonb_build_object('status', v_change.change, 'reason', changed_because, 'consecutiveFailures', v_change.consecutive_failures_count));
  end loop;
  if coalesce(cardinality(v_settled), 0) < cardinality(p_delivery_ids) then
    return query select lost.delivery_id, null::uuid, null::text, null::text
    from unnest(p_delivery_ids) as lost (delivery_id) where lost.delivery_id <> all (coalesce(v_settled, '{}'));
  end if;
end
$$;

revoke all on function moonguard.endpoint_pace_now(uuid, double precision, timestamptz), moonguard.reserve_requests(uuid, integer, integer),
  moonguard.endpoint_rate(text, jsonb, timestamptz, integer, timestamptz), moonguard.raise_operational_event(uuid, text, jsonb), moonguard.hold_pending_deliveries(uuid), moonguard.endpoint_to_deliver_to(uuid),
  moonguard.claim_deliveries(integer, integer, jsonb, integer, uuid, integer, timestamptz),
  moonguard.settle_deliveries(uuid[], uuid[], text[], double precision[], double precision[], integer[], integer[], text[], text[], text[], boolean[],
    uuid[], integer, integer, bigint) from public, anon, authenticated, service_role;
