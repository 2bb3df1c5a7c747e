-- Why: what is to be delivered where, and every attempt at it.
-- Locks: none on tables that exist.
-- Older program: there is none.

-- pending: due at next_attempt_at, unless a worker has leased it until leased_until; an expired lease is due again by itself.
-- No foreign keys: a check of one costs 6 µs for each delivery of each event. Rows are made in one place, from the event and
-- the endpoint themselves (store_events), and go with them (the triggers below).
-- Leasing changes no indexed column and the page has room, so that it writes no index (fillfactor).
create table moonguard.deliveries (
  id uuid primary key default moonguard.uuid_v7(),
  event_id uuid not null,
  endpoint_id uuid not null,
  status text not null default 'pending',
  next_attempt_at timestamptz not null default now(),
  leased_until timestamptz,
  lease_token uuid,
  event_sequence bigint not null,
  ordering_key text,
  attempts_count integer not null default 0,
  manual_attempts_count integer not null default 0,
  resend_from text,
  resend_next_attempt_at timestamptz,
  replay_id uuid,
  last_attempt_at timestamptz,
  last_response_status integer,
  last_error_class text,
  settled_at timestamptz,
  created_at timestamptz not null default now(),
  constraint deliveries_status_check check (status in ('pending', 'delivered', 'exhausted', 'held', 'filtered')),
  constraint deliveries_lease_check check ((leased_until is null) = (lease_token is null)),
  constraint deliveries_resend_check check (resend_from is null or status = 'pending' and resend_next_attempt_at is not null),
  -- Ids of events sort by time, so this lists the deliveries of an endpoint by time too.
  constraint deliveries_endpoint_event_key unique (endpoint_id, event_id)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Only what is still to be done, so that a claim costs the same whatever the history is; by endpoint, so that the many
-- of one are not in the way of another's.
create index deliveries_due_idx on moonguard.deliveries (endpoint_id, next_attempt_at, event_sequence) where status = 'pending';
create index deliveries_order_idx on moonguard.deliveries (endpoint_id, ordering_key, event_sequence) where status = 'pending' and ordering_key is not null;
create index deliveries_undelivered_idx on moonguard.deliveries (endpoint_id, event_id) where status in ('exhausted', 'held');

create table moonguard.delivery_attempts (
  delivery_id uuid not null,
  attempt_number integer not null,
  endpoint_id uuid not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  outcome text not null,
  response_status integer,
  response_body bytea,
  error_class text,
  error_message text,
  constraint delivery_attempts_pkey primary key (delivery_id, attempt_number),
  constraint delivery_attempts_outcome_check check (outcome in ('delivered', 'retry', 'exhausted', 'held', 'resend_failed')),
  constraint delivery_attempts_response_body_check check (octet_length(response_body) <= 16384)
);
-- Rows come in the order of time: a few pages tell which part of the table a window is in.
create index delivery_attempts_started_at_idx on moonguard.delivery_attempts using brin (started_at) with (pages_per_range = 16, autosummarize = on);

create table moonguard.endpoint_pace (
  endpoint_id uuid primary key references public.moonpay_webhook_config (id) on delete cascade,
  next_free_at timestamptz not null default '-infinity',
  recovered_at timestamptz
);

comment on table moonguard.deliveries is 'One row for each event and each endpoint that subscribed to it.';
comment on column moonguard.deliveries.status is 'pending, delivered, exhausted (no attempts left), held (the endpoint is inactive or failed), filtered (the endpoint''s filter did not want it).';
comment on column moonguard.deliveries.next_attempt_at is 'When it is due.';
comment on column moonguard.deliveries.leased_until is 'While a worker has it: when its lease ends and it is due again.';
comment on column moonguard.deliveries.lease_token is 'Set with the lease. A result with another token changes nothing.';
comment on column moonguard.deliveries.event_sequence is 'Place of its event in the order of arrival.';
comment on column moonguard.deliveries.ordering_key is 'For endpoints with ordering by entity: of the deliveries with one key the earliest pending one goes first, alone.';
comment on column moonguard.deliveries.attempts_count is 'Requests made.';
comment on column moonguard.deliveries.manual_attempts_count is 'Those of them that somebody asked for; the retry schedule does not count them.';
comment on column moonguard.deliveries.resend_from is 'Somebody asked for a request outside the schedule: the status to go back to when it fails.';
comment on column moonguard.deliveries.resend_next_attempt_at is 'What next_attempt_at goes back to then.';
comment on column moonguard.deliveries.replay_id is 'The replay that asked for it last.';
comment on column moonguard.deliveries.settled_at is 'When it became delivered, exhausted or filtered.';
comment on table moonguard.delivery_attempts is 'Every request that was made, and how it was answered.';
comment on column moonguard.delivery_attempts.outcome is
  'What became of the delivery: delivered, retry, exhausted, held because the endpoint stopped, or as it was because a manual resend failed.';
comment on column moonguard.delivery_attempts.response_body is 'At most 16 KiB.';
comment on column moonguard.delivery_attempts.error_class is 'timeout, connection_refused, http_5xx, …; null when delivered.';
comment on table moonguard.endpoint_pace is 'When an endpoint may get its next request, where that is bounded: rate limit, probes while suspended, the slow start after it.';
comment on column moonguard.endpoint_pace.recovered_at is 'When a probe last succeeded.';

create function moonguard.remove_deliveries_of_events() returns trigger
language plpgsql security definer set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
begin
  delete from moonguard.deliveries d using gone, public.moonpay_webhook_config c where d.endpoint_id = c.id and d.event_id = gone.id;
  return null;
end
$$;
create trigger remove_deliveries after delete on public.moonpay_webhook_events referencing old table as gone
  for each statement execute function moonguard.remove_deliveries_of_events();

create function moonguard.remove_deliveries_of_endpoints() returns trigger
language plpgsql security definer set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
begin
  delete from moonguard.deliveries d using gone where d.endpoint_id = gone.id;
  return null;
end
$$;
create trigger remove_deliveries after delete on public.moonpay_webhook_config referencing old table as gone
  for each statement execute function moonguard.remove_deliveries_of_endpoints();

create function moonguard.remove_attempts_of_deliveries() returns trigger
language plpgsql security definer set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
begin
  delete from moonguard.delivery_attempts a using gone where a.delivery_id = gone.id;
  return null;
end
$$;
create trigger remove_attempts after delete on moonguard.deliveries referencing old table as gone
  for each statement execute function moonguard.remove_attempts_of_deliveries();

-- Whoever stops an endpoint, its deliveries wait. One that is being sent at this moment keeps its lease, so that its result
-- counts; if it is to be tried again, the next claim finds the endpoint stopped and holds it. A manual resend is called off.
create function moonguard.hold_pending_deliveries(p_endpoint_id uuid) returns void
language sql security definer set search_path = '' as $$
  update moonguard.deliveries
  set status = coalesce(nullif(resend_from, 'pending'), 'held'), next_attempt_at = coalesce(resend_next_attempt_at, next_attempt_at),
    resend_from = null, resend_next_attempt_at = null, leased_until = null, lease_token = null
  where endpoint_id = p_endpoint_id and status = 'pending' and (leased_until is null or leased_until <= now())
$$;

create function moonguard.endpoint_after_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.status in ('inactive', 'failed') and old.status <> new.status then
    perform moonguard.hold_pending_deliveries(new.id);
  end if;
  if new.delivery_settings -> 'ordering' is distinct from old.delivery_settings -> 'ordering' then
    update moonguard.deliveries d
    set ordering_key = case when new.delivery_settings ->> 'ordering' = 'entity' then e.entity_type || ':' || e.entity_id end
    from public.moonpay_webhook_events e where e.id = d.event_id and d.endpoint_id = new.id and d.status = 'pending';
  end if;
  return null;
end
$$;
create trigger endpoint_after_change after update of status, is_active, delivery_settings on public.moonpay_webhook_config
  for each row execute function moonguard.endpoint_after_change();

select moonguard.add_view('moonpay_webhook_deliveries', 'Deliveries, for those who may see endpoints.',
  $$select id, event_id, endpoint_id, status, next_attempt_at, coalesce(leased_until > now(), false) as in_flight, attempts_count, last_attempt_at,
    last_response_status, last_error_class, settled_at, created_at
  from moonguard.deliveries$$);

select moonguard.add_view('moonpay_webhook_delivery_attempts', 'Attempts, for those who may see endpoints.',
  $$select delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome, response_status, response_body, error_class, error_message
  from moonguard.delivery_attempts$$);

select moonguard.add_view('moonpay_alert_timeline', 'The history of alerts, for those who may see the alert.',
  $$select id, alert_id, alert_version, at, actor, action, from_status, to_status, reason, before, after, entry_number, mentions, attachment
  from moonguard.alert_timeline$$);
