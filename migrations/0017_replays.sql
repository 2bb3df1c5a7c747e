-- Why: replays: deliveries of the past that somebody wants sent again, many at once, as a job that outlives every process.
-- Locks: SHARE on moonguard.deliveries while the index is built, which then holds no row.
-- Older program: runs on; it releases nothing.

create table moonguard.replays (
  id uuid primary key,
  endpoint_id uuid,
  statuses text[] not null,
  event_patterns text[],
  since timestamptz,
  until timestamptz,
  rate_per_second double precision,
  status text not null default 'running',
  total_count bigint not null default 0,
  released_count bigint not null default 0,
  skipped_count bigint not null default 0,
  delivered_count bigint,
  filtered_count bigint,
  failed_count bigint,
  paced_at timestamptz not null default now(),
  created_by text not null,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  cancelled_by text,
  constraint replays_statuses_check check (cardinality(statuses) > 0 and statuses <@ array['delivered', 'exhausted', 'held', 'filtered']),
  constraint replays_rate_per_second_check check (rate_per_second > 0 and rate_per_second <= 10000),
  constraint replays_status_check check (status in ('running', 'completed', 'cancelled')),
  constraint replays_finished_check check ((status = 'running') = (finished_at is null) and (status = 'cancelled') = (cancelled_by is not null)
    and (status = 'running') = (delivered_count is null)),
  constraint replays_released_count_check check (released_count between 0 and total_count)
);
create index replays_running_idx on moonguard.replays (id) where status = 'running';

-- An endpoint's part of a replay. Each has its own place and its own bound of what is under way, so that one that hangs
-- does not hold up the others'.
create table moonguard.replay_lanes (
  replay_id uuid not null references moonguard.replays (id) on delete cascade,
  endpoint_id uuid not null,
  total_count bigint not null,
  released_count bigint not null default 0,
  after_event_id uuid not null,
  last_event_id uuid not null,
  last_released_at timestamptz,
  finished_at timestamptz,
  constraint replay_lanes_pkey primary key (replay_id, endpoint_id)
);

-- Empty but for what replays released: other deliveries cost nothing.
-- squawk-ignore require-concurrent-index-creation
create index deliveries_replay_idx on moonguard.deliveries (replay_id, endpoint_id, status) where replay_id is not null;

comment on table moonguard.replays is 'Deliveries of the past that somebody wants sent again: which, how fast, and how far it is.';
comment on column moonguard.replays.id is 'UUIDv7.';
comment on column moonguard.replays.created_by is 'Who asked for it.';
comment on column moonguard.replays.created_at is 'When it began.';
comment on column moonguard.replays.finished_at is 'When it was completed or cancelled.';
comment on column moonguard.replays.cancelled_by is 'Who cancelled it.';
comment on column moonguard.replays.endpoint_id is 'Only those to this endpoint; null: to any.';
comment on column moonguard.replays.statuses is 'Only those that have one of these: delivered, exhausted, held, filtered.';
comment on column moonguard.replays.event_patterns is 'Only those of such events: names, or "transaction.*"; null: all.';
comment on column moonguard.replays.since is 'Only those made at this time or later.';
comment on column moonguard.replays.until is 'Only those made before this time. Those made after the replay began are never part of it.';
comment on column moonguard.replays.rate_per_second is 'At most so many a second are released; null: as fast as the endpoints take them.';
comment on column moonguard.replays.status is 'running, completed (all were tried), cancelled.';
comment on column moonguard.replays.total_count is 'Deliveries it was about when it began.';
comment on column moonguard.replays.released_count is 'Those that were handed to the workers.';
comment on column moonguard.replays.skipped_count is 'Those that stayed as they were because their endpoint was stopped or deleted.';
comment on column moonguard.replays.delivered_count is 'Those that were delivered by its end; null while it runs.';
comment on column moonguard.replays.filtered_count is 'Those that a filter kept back by its end.';
comment on column moonguard.replays.failed_count is 'Those of the released that were neither by its end: tried in vain, or put back because their endpoint stopped.';
comment on column moonguard.replays.paced_at is 'Up to when its rate is used up.';
comment on table moonguard.replay_lanes is 'The part of one endpoint in a replay.';
comment on column moonguard.replay_lanes.after_event_id is 'Everything up to this event was looked at. Moves in the transaction that releases: whoever goes on releases none twice.';
comment on column moonguard.replay_lanes.last_event_id is 'Where it ends.';
comment on column moonguard.replay_lanes.last_released_at is 'next_attempt_at of the last ones released: what is pending with no later one was not tried yet.';

alter table moonguard.replays enable row level security;
alter table moonguard.replay_lanes enable row level security;
create policy owner_only on moonguard.replay_lanes using (false);
grant select on moonguard.replays to authenticated, service_role;
create policy replays_read on moonguard.replays for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)));
select moonguard.add_view('moonpay_webhook_replays', 'Replays of deliveries, for those who may see endpoints.',
  $$select id, endpoint_id, statuses, event_patterns, since, until, rate_per_second, status, total_count, released_count, skipped_count,
    delivered_count, filtered_count, failed_count, created_by, created_at, finished_at, cancelled_by
  from moonguard.replays$$);
select moonguard.comment_view('moonpay_webhook_replays', 'moonguard.replays');

-- The deliveries to one endpoint that a replay is about, in the order of their events: of the next p_look_at after p_after, up
-- to p_last, the first p_take. Each is bounded, so that a batch costs the same whatever the history is. The name of the
-- event is looked up row by row: a join would read as many events as the statistics make it believe in.
create function moonguard.replayed_deliveries(p_replay moonguard.replays, p_endpoint_id uuid, p_after uuid, p_last uuid, p_look_at bigint, p_take bigint)
returns table (id uuid, event_id uuid)
language plpgsql stable set search_path = '' set enable_seqscan = 'off' set enable_bitmapscan = 'off' set jit = 'off' as $$
#variable_conflict use_column
begin
  return query
  select d.id, d.event_id
  from (
    select * from moonguard.deliveries looked_at
    where looked_at.endpoint_id = p_endpoint_id and looked_at.event_id > p_after and looked_at.event_id <= p_last
    order by looked_at.event_id limit p_look_at
  ) d
  where d.status = any (p_replay.statuses)
    and d.created_at <= p_replay.created_at
    and (p_replay.since is null or d.created_at >= p_replay.since) and (p_replay.until is null or d.created_at < p_replay.until)
    -- Otherwise it was pending when the replay began, and has been sent since.
    and (d.settled_at is null or d.settled_at <= p_replay.created_at)
    -- Without its body, which retention removes, there is nothing to send.
    and (
      select e.raw_body is not null and (p_replay.event_patterns is null
        or array[e.event_name, split_part(e.event_name, '.', 1) || '.*'] && p_replay.event_patterns)
      from public.moonpay_webhook_events e where e.id = d.event_id)
  order by d.event_id limit p_take;
end
$$;

-- What became of the deliveries that were released; waiting: not tried yet. Of one that a later replay released too only
-- that one knows.
create function moonguard.replay_outcomes(p_replay_id uuid, out delivered bigint, out filtered bigint, out waiting bigint, out failed bigint)
language plpgsql stable set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
begin
  select count(*) filter (where outcome = 'delivered'), count(*) filter (where outcome = 'filtered'),
    count(*) filter (where outcome = 'waiting'), count(*) filter (where outcome = 'failed')
  into delivered, filtered, waiting, failed
  from (
    select case
      when d.status in ('delivered', 'filtered') and d.settled_at >= r.created_at then d.status
      when d.status = 'pending' and d.next_attempt_at <= l.last_released_at then 'waiting'
      else 'failed' end as outcome
    from moonguard.replays r
    join moonguard.replay_lanes l on l.replay_id = r.id
    join moonguard.deliveries d on d.replay_id = r.id and d.endpoint_id = l.endpoint_id
    where r.id = p_replay_id
  ) released;
end
$$;

create function moonguard.finish_replay(p_replay_id uuid, p_status text, p_cancelled_by text default null) returns void
language plpgsql set search_path = '' as $$
begin
  update moonguard.replays r
  set status = p_status, cancelled_by = p_cancelled_by, finished_at = now(),
    delivered_count = outcome.delivered, filtered_count = outcome.filtered, failed_count = outcome.failed
  from moonguard.replay_outcomes(p_replay_id) outcome
  where r.id = p_replay_id;
end
$$;

-- Begins a replay of what there is at this moment. An endpoint's part begins at its first delivery.
create function moonguard.begin_replay(p_id uuid, p_endpoint_id uuid, p_statuses text[], p_event_patterns text[], p_since timestamptz,
  p_until timestamptz, p_rate_per_second double precision, p_created_by text) returns void
language plpgsql set search_path = '' as $$
declare
  v_replay moonguard.replays;
  v_endpoint_id uuid;
  -- Ids of events begin with their time, by the clock of the program that received them: a day's difference is allowed for.
  v_after uuid := coalesce(rpad(left(lpad(to_hex(greatest(extract(epoch from p_since - interval '1 day') * 1000, 0)::bigint), 12, '0'), 12), 32, '0'),
    repeat('0', 32))::uuid;
begin
  insert into moonguard.replays (id, endpoint_id, statuses, event_patterns, since, until, rate_per_second, created_by)
  values (p_id, p_endpoint_id, p_statuses, p_event_patterns, p_since, p_until, p_rate_per_second, p_created_by)
  returning * into v_replay;

  for v_endpoint_id in
    select c.id from public.moonpay_webhook_config c where p_endpoint_id is null or c.id = p_endpoint_id order by c.id
  loop
    insert into moonguard.replay_lanes (replay_id, endpoint_id, total_count, after_event_id, last_event_id)
    select p_id, v_endpoint_id, count(*), rpad(left(replace(min(d.event_id::text collate "C"), '-', ''), 12), 32, '0')::uuid,
      max(d.event_id::text collate "C")::uuid
    from moonguard.replayed_deliveries(v_replay, v_endpoint_id, v_after, repeat('f', 32)::uuid, null, null) d
    having count(*) > 0;
  end loop;

  update moonguard.replays r set total_count = lanes.total
  from (select coalesce(sum(l.total_count), 0) as total from moonguard.replay_lanes l where l.replay_id = p_id) lanes
  where r.id = p_id;
  perform moonguard.finish_replay_if_done(p_id);
  perform pg_notify('moonguard_replays', '');
end
$$;

create function moonguard.finish_replay_if_done(p_replay_id uuid) returns boolean
language plpgsql set search_path = '' as $$
begin
  if exists (select from moonguard.replay_lanes l where l.replay_id = p_replay_id and l.finished_at is null) then
    return false;
  end if;
  perform moonguard.finish_replay(p_replay_id, 'completed');
  return true;
end
$$;

-- Hands the next deliveries of an endpoint's part to the workers, and moves the place in the same transaction: killed at any
-- moment, each is released at most once. A held one goes on with its schedule; any other is sent once more, and goes back to
-- what it was when that fails. At most p_window of the endpoint wait at a time, so that new events are not behind thousands
-- of old ones and a cancelled replay ends at once. goes_on: there is more that could be done at this moment.
--
-- Whoever has the row of the replay is at work on it; nobody waits for him. Nothing here locks the endpoint: if somebody stops
-- it at this moment, the next claim finds it stopped and puts the deliveries back.
create function moonguard.release_replay_lane(p_replay_id uuid, p_endpoint_id uuid, p_window integer, p_batch integer, p_look_at integer,
  p_now timestamptz default null, out released integer, out goes_on boolean, out replay_completed boolean)
language plpgsql set search_path = '' set enable_seqscan = 'off' set enable_bitmapscan = 'off' set jit = 'off' as $$
declare
  v_now timestamptz := coalesce(p_now, now());
  v_replay moonguard.replays;
  v_lane moonguard.replay_lanes;
  v_is_ordered boolean;
  v_paced_at timestamptz;
  v_waiting integer;
  v_room integer;
  v_ids uuid[];
  v_after uuid;
begin
  released := 0;
  goes_on := false;
  replay_completed := false;
  select * into v_replay from moonguard.replays r where r.id = p_replay_id and r.status = 'running' for no key update skip locked;
  if not found then
    return;
  end if;
  select * into v_lane from moonguard.replay_lanes l where l.replay_id = p_replay_id and l.endpoint_id = p_endpoint_id and l.finished_at is null;
  if not found then
    return;
  end if;

  select c.delivery_settings ->> 'ordering' = 'entity' into v_is_ordered from public.moonpay_webhook_config c
  where c.id = p_endpoint_id and c.deleted_at is null and c.status in ('active', 'suspended');
  if not found and v_lane.after_event_id < v_lane.last_event_id then
    -- Its part ends here, once what a worker has is settled; the rest of what was released is held already.
    v_lane.after_event_id := v_lane.last_event_id;
    update moonguard.replay_lanes l set after_event_id = v_lane.last_event_id where l.replay_id = p_replay_id and l.endpoint_id = p_endpoint_id;
    update moonguard.replays r set skipped_count = r.skipped_count + v_lane.total_count - v_lane.released_count where r.id = p_replay_id;
  end if;

  select count(*) into v_waiting from (
    select from moonguard.deliveries d
    where d.replay_id = p_replay_id and d.endpoint_id = p_endpoint_id and d.status = 'pending' and d.next_attempt_at <= v_lane.last_released_at
    limit p_window) as waiting;
  if v_lane.after_event_id >= v_lane.last_event_id then
    if v_waiting = 0 then
      update moonguard.replay_lanes l set finished_at = v_now where l.replay_id = p_replay_id and l.endpoint_id = p_endpoint_id;
      replay_completed := moonguard.finish_replay_if_done(p_replay_id);
    end if;
    return;
  end if;

  v_room := least(p_window - v_waiting, p_batch);
  if v_replay.rate_per_second is not null then
    -- What was not used is lost but for a moment's worth: never a burst.
    v_paced_at := greatest(v_replay.paced_at, v_now - make_interval(secs => 0.25 + 1 / v_replay.rate_per_second));
    v_room := least(v_room, floor(extract(epoch from v_now - v_paced_at)::double precision * v_replay.rate_per_second));
  end if;
  if v_room <= 0 then
    return;
  end if;

  select array_agg(d.id order by d.event_id), (array_agg(d.event_id order by d.event_id))[v_room] into v_ids, v_after
  from moonguard.replayed_deliveries(v_replay, p_endpoint_id, v_lane.after_event_id, v_lane.last_event_id, p_look_at, v_room) d;
  if v_after is null then
    -- Fewer than there is room for: all that were looked at are done with.
    select d.event_id into v_after from moonguard.deliveries d
    where d.endpoint_id = p_endpoint_id and d.event_id > v_lane.after_event_id and d.event_id <= v_lane.last_event_id
    order by d.event_id offset p_look_at - 1 limit 1;
    v_after := coalesce(v_after, v_lane.last_event_id);
  end if;

  update moonguard.deliveries d
  set status = 'pending',
    next_attempt_at = v_now,
    resend_from = nullif(d.status, 'held'),
    resend_next_attempt_at = case when d.status <> 'held' then d.next_attempt_at end,
    -- The setting may have changed while it was not pending.
    ordering_key = case when v_is_ordered then (
      select e.entity_type || ':' || e.entity_id from public.moonpay_webhook_events e where e.id = d.event_id) end,
    replay_id = p_replay_id
  where d.id = any (array(
    -- One that somebody changes at this moment is not what it was any more.
    select matching.id from moonguard.deliveries matching
    where matching.id = any (v_ids) and matching.status = any (v_replay.statuses) order by matching.id for no key update skip locked));
  get diagnostics released = row_count;
  goes_on := v_after < v_lane.last_event_id and (coalesce(cardinality(v_ids), 0) < v_room or v_room = p_batch);

  update moonguard.replay_lanes l
  set after_event_id = v_after, released_count = l.released_count + released,
    last_released_at = case when released > 0 then v_now else l.last_released_at end
  where l.replay_id = p_replay_id and l.endpoint_id = p_endpoint_id;
  update moonguard.replays r
  set released_count = r.released_count + released,
    paced_at = coalesce(v_paced_at + make_interval(secs => released / r.rate_per_second), r.paced_at)
  where r.id = p_replay_id;
  if released > 0 then
    perform pg_notify('moonguard_deliveries', '');
  end if;
end
$$;

-- Ends a replay at once: what was released and no worker has is put back to what it was. Returns the status it had before,
-- null when there is no such replay; one that has ended stays as it is.
create function moonguard.cancel_replay(p_replay_id uuid, p_cancelled_by text) returns text
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
declare
  v_status text;
begin
  select r.status into v_status from moonguard.replays r where r.id = p_replay_id for no key update;
  if v_status is distinct from 'running' then
    return v_status;
  end if;
  with put_back as (
    update moonguard.deliveries d
    set status = coalesce(nullif(d.resend_from, 'pending'), 'held'), next_attempt_at = coalesce(d.resend_next_attempt_at, d.next_attempt_at),
      resend_from = null, resend_next_attempt_at = null, leased_until = null, lease_token = null, replay_id = null
    where d.id = any (array(
      select waiting.id from moonguard.replay_lanes l
      join moonguard.deliveries waiting on waiting.replay_id = l.replay_id and waiting.endpoint_id = l.endpoint_id
      where l.replay_id = p_replay_id and waiting.status = 'pending' and waiting.next_attempt_at <= l.last_released_at
        and (waiting.leased_until is null or waiting.leased_until <= now())
      order by waiting.id
      for no key update of waiting skip locked))
    returning d.id
  )
  update moonguard.replays r set released_count = r.released_count - (select count(*) from put_back) where r.id = p_replay_id;
  perform moonguard.finish_replay(p_replay_id, 'cancelled', p_cancelled_by);
  return v_status;
end
$$;

revoke all on function moonguard.replayed_deliveries(moonguard.replays, uuid, uuid, uuid, bigint, bigint), moonguard.replay_outcomes(uuid),
  moonguard.finish_replay(uuid, text, text), moonguard.finish_replay_if_done(uuid),
  moonguard.begin_replay(uuid, uuid, text[], text[], timestamptz, timestamptz, double precision, text),
  moonguard.release_replay_lane(uuid, uuid, integer, integer, integer, timestamptz), moonguard.cancel_replay(uuid, text)
  from public, anon, authenticated, service_role;
