-- Why: receiving. Whatever webhooks came together are stored with their deliveries, and their transactions and customers moved
--   forward, in one round trip; in a function, so that a session plans it once and not at every batch.
-- Locks: none on tables that exist.
-- Older program: there is none.

-- p_events: [{id, environment, signature, body_length, is_json, event_type, event_name, dedupe_key, entity_type, entity_id,
-- occurred_at, is_handled}] in the order of arrival; p_bodies: their bodies, one behind the other, in the same order (as JSON
-- they would have to be written out and read again); p_patterns: what an endpoint may be subscribed to, to get an event of
-- that name: {event_name: [pattern]}.
--
-- p_lease: {token, ms, endpoints: {id: changed_at}} of a worker in the same process that takes what is delivered to these
-- endpoints at once: its deliveries are leased from the start and need no claim. Only where the endpoint is active and has not
-- changed since a claim told the worker of it.
--
-- p_is_decided_here: the process that stores decides too, and is not told. A notification costs every commit a lock that all
-- of them share, and wakes a session.
--
-- Returns, with the places of events counted from 0: deliveries: how many were made for each, 0 for a duplicate;
-- leased: {place: [[delivery id, endpoint id]]}; duplicates: {place: {id, body_differs}} of those that were there, or came earlier in this batch; late: [place];
-- failures: {place: why its projection failed}.
--
-- Rows are inserted in the order of their keys, so that no two batches wait for each other; one waits at the unique index for
-- the other's commit. Settings as in 0005.
create function moonguard.store_events(p_events json, p_bodies bytea, p_patterns jsonb, p_lease jsonb default null,
  p_is_decided_here boolean default false) returns jsonb
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
declare
  -- By place, from 1; the id is null for a duplicate.
  v_ids uuid[];
  v_deliveries integer[];
  v_leased jsonb;
  v_is_unleased boolean;
  v_has_state boolean;
  v_exceptions jsonb;
  v_result jsonb;
  -- What the ids of deliveries begin with, a number follows: as unique as the first event's. Drawing each anew costs 5 µs.
  v_series text := left(replace(p_events -> 0 ->> 'id', '-', ''), 26);
begin
  with incoming as materialized (
    select e.*, substring(p_bodies from (sum(e.body_length) over (order by e.place))::integer - e.body_length + 1 for e.body_length) as raw_body
    from rows from (json_to_recordset(p_events) as (id uuid, environment text, signature text, body_length integer, is_json boolean,
      event_type text, event_name text, dedupe_key text, entity_type text, entity_id text, occurred_at timestamptz, is_handled boolean))
      with ordinality as e (id, environment, signature, body_length, is_json, event_type, event_name, dedupe_key, entity_type,
        entity_id, occurred_at, is_handled, place)
  ), stored as (
    insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name, dedupe_key,
      entity_type, entity_id, occurred_at, is_handled, processed, processing_attempts, received_at, sequence)
    select id, environment, signature, raw_body, case when is_json then convert_from(raw_body, 'UTF8')::jsonb else 'null' end,
      event_type, event_name, dedupe_key, entity_type, entity_id, occurred_at, is_handled, false, 0, now(), sequence
    from (select *, nextval('moonguard.event_sequence') as sequence from incoming order by place) as numbered
    order by dedupe_key collate "C", place
    on conflict (dedupe_key) do nothing
    returning id, sequence, environment, event_name, entity_type, entity_id
  ), subscriber as materialized (
    select wanted.key as event_name, endpoint.environment, endpoint.id,
      case when endpoint.status in ('active', 'suspended') then 'pending' else 'held' end as status,
      endpoint.delivery_settings ->> 'ordering' = 'entity' as is_ordered,
      case when endpoint.status = 'active'
          and (p_lease -> 'endpoints' ->> endpoint.id::text)::numeric = extract(epoch from endpoint.updated_at) * 1000000
        then now() + make_interval(secs => ((p_lease ->> 'ms')::integer + (endpoint.delivery_settings ->> 'timeout_ms')::integer) / 1000.0)
      end as leased_until
    from jsonb_each(p_patterns) as wanted
    join public.moonpay_webhook_config endpoint
      on endpoint.deleted_at is null and endpoint.events && array(select jsonb_array_elements_text(wanted.value))
  ), delivery as (
    insert into moonguard.deliveries (id, event_id, endpoint_id, status, ordering_key, event_sequence, leased_until, lease_token)
    select (v_series || lpad(to_hex(row_number() over ()), 6, '0'))::uuid, stored.id, subscriber.id, subscriber.status,
      case when subscriber.is_ordered then stored.entity_type || ':' || stored.entity_id end, stored.sequence,
      subscriber.leased_until, case when subscriber.leased_until is not null then (p_lease ->> 'token')::uuid end
    from stored join subscriber using (environment, event_name)
    returning id, event_id, endpoint_id, status, leased_until
  ), made as (
    select event_id, count(*)::integer as deliveries, bool_or(status = 'pending' and leased_until is null) as is_unleased,
      jsonb_agg(jsonb_build_array(id, endpoint_id)) filter (where leased_until is not null) as leased
    from delivery group by event_id
  )
  select array_agg(stored.id order by incoming.place), array_agg(coalesce(made.deliveries, 0) order by incoming.place),
    jsonb_object_agg(incoming.place - 1, made.leased) filter (where made.leased is not null), bool_or(made.is_unleased), bool_or(stored.entity_type in ('transaction', 'customer'))
  into v_ids, v_deliveries, v_leased, v_is_unleased, v_has_state
  from incoming left join stored using (id) left join made on made.event_id = stored.id;

  v_result := jsonb_build_object('deliveries', v_deliveries, 'leased', coalesce(v_leased, '{}'));

  if v_has_state then
    select jsonb_build_object(
      'late', coalesce(jsonb_agg(place) filter (where failure is null), '[]'),
      'failures', coalesce(jsonb_object_agg(place, failure) filter (where failure is not null), '{}'))
    into v_exceptions
    from (select array_position(v_ids, event_id) - 1 as place, failure from moonguard.project_events(array_remove(v_ids, null))) as exception;
    v_result := v_result || v_exceptions;
  end if;

  if array_position(v_ids, null) is not null then
    v_result := v_result || jsonb_build_object('duplicates', (
      select jsonb_object_agg(e.place - 1, jsonb_build_object('id', original.id, 'body_differs', original.raw_body is distinct from
        substring(p_bodies from (e.body_end - e.body_length)::integer + 1 for e.body_length)))
      from (
        select place, dedupe_key, body_length, sum(body_length) over (order by place) as body_end
        from rows from (json_to_recordset(p_events) as (dedupe_key text, body_length integer)) with ordinality as e (dedupe_key, body_length, place)
      ) as e
      join public.moonpay_webhook_events original using (dedupe_key)
      where v_ids[e.place] is null));
  end if;

  -- Listeners hear of it at commit.
  if v_is_unleased then
    perform pg_notify('moonguard_deliveries', '');
  end if;
  perform pg_notify('moonguard_events', '') where not p_is_decided_here and array_remove(v_ids, null) <> '{}';
  return v_result;
end
$$;
comment on function moonguard.store_events(json, bytea, jsonb, jsonb, boolean) is
  'Stores webhooks that came together, with their deliveries, and moves their transactions and customers forward.';
revoke all on function moonguard.store_events(json, bytea, jsonb, jsonb, boolean) from public, anon, authenticated, service_role;
