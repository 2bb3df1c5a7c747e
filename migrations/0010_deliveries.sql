-- Why: what is to be delivered where, and every attempt at it.
-- Locks: none on tables that exist.
-- Older program: there is none.

-- pending: due at next_attempt_at. While a worker has it, next_attempt_at is the end of its lease, so that an expired
-- lease is due again by itself, and one index serves both.
create table moonguard.deliveries (
  id uuid primary key default moonguard.uuid_v7(),
  event_id uuid not null references public.moonpay_webhook_events (id) on delete cascade,
  endpoint_id uuid not null references public.moonpay_webhook_config (id) on delete cascade,
  status text not null default 'pending',
  next_attempt_at timestamptz not null default now(),
  lease_token uuid,
  attempts_count integer not null default 0,
  last_attempt_at timestamptz,
  last_response_status integer,
  last_error_class text,
  settled_at timestamptz,
  created_at timestamptz not null default now(),
  constraint deliveries_status_check check (status in ('pending', 'delivered', 'exhausted', 'held')),
  constraint deliveries_event_endpoint_key unique (event_id, endpoint_id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.05);

-- Only what is still to be done, so that a claim costs the same whatever the history is.
create index deliveries_due_idx on moonguard.deliveries (next_attempt_at, id) where status = 'pending';
create index deliveries_endpoint_idx on moonguard.deliveries (endpoint_id, created_at);
create index deliveries_undelivered_idx on moonguard.deliveries (endpoint_id, event_id) where status in ('exhausted', 'held');

create table moonguard.delivery_attempts (
  id uuid primary key default moonguard.uuid_v7(),
  delivery_id uuid not null references moonguard.deliveries (id) on delete cascade,
  endpoint_id uuid not null,
  attempt_number integer not null,
  started_at timestamptz not null,
  duration_ms integer not null,
  outcome text not null,
  response_status integer,
  response_body bytea,
  error_class text,
  error_message text,
  constraint delivery_attempts_outcome_check check (outcome in ('delivered', 'retry', 'exhausted', 'held')),
  constraint delivery_attempts_response_body_check check (octet_length(response_body) <= 16384)
);
create index delivery_attempts_delivery_id_idx on moonguard.delivery_attempts (delivery_id);
create index delivery_attempts_endpoint_idx on moonguard.delivery_attempts (endpoint_id, started_at);

comment on table moonguard.deliveries is 'One row for each event and each endpoint that subscribed to it.';
comment on column moonguard.deliveries.status is 'pending, delivered, exhausted (no attempts left), held (the endpoint is inactive or failed).';
comment on column moonguard.deliveries.next_attempt_at is 'When it is due; while leased, when the lease ends.';
comment on column moonguard.deliveries.lease_token is 'Set while a worker has it. A result with another token changes nothing.';
comment on column moonguard.deliveries.settled_at is 'When it became delivered or exhausted.';
comment on table moonguard.delivery_attempts is 'Every request that was made, and how it was answered.';
comment on column moonguard.delivery_attempts.outcome is 'What became of the delivery: delivered, retry, exhausted, or held because the endpoint stopped.';
comment on column moonguard.delivery_attempts.response_body is 'At most 16 KiB.';
comment on column moonguard.delivery_attempts.error_class is 'timeout, connection_refused, http_5xx, …; null when delivered.';

-- Whoever stops an endpoint, its deliveries wait. One that is being sent at this moment keeps its lease, so that its result
-- counts; if it is to be tried again, the worker that claims it next finds the endpoint stopped and holds it.
create function moonguard.hold_deliveries() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update moonguard.deliveries set status = 'held', lease_token = null
  where endpoint_id = new.id and status = 'pending' and (lease_token is null or next_attempt_at <= now());
  return null;
end
$$;
create trigger hold_deliveries after update of status, is_active on public.moonpay_webhook_config
  for each row when (new.status in ('inactive', 'failed') and old.status is distinct from new.status)
  execute function moonguard.hold_deliveries();

select moonguard.add_view('moonpay_webhook_deliveries', 'Deliveries, for those who may see endpoints.',
  $$select id, event_id, endpoint_id, status, next_attempt_at, lease_token is not null as in_flight, attempts_count, last_attempt_at,
    last_response_status, last_error_class, settled_at, created_at
  from moonguard.deliveries$$);

select moonguard.add_view('moonpay_webhook_delivery_attempts', 'Attempts, for those who may see endpoints.',
  $$select id, delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome, response_status, response_body, error_class, error_message
  from moonguard.delivery_attempts$$);

select moonguard.add_view('moonpay_alert_timeline', 'The history of alerts, for those who may see the alert.',
  $$select id, alert_id, alert_version, at, actor, action, from_status, to_status, reason, before, after from moonguard.alert_timeline$$);
