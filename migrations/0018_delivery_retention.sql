-- Why: old events go, with their deliveries and attempts; attempts and bodies may go earlier. A call is one batch, so that
--   nothing is locked for long: whoever calls goes on from where the batch before ended.
-- Locks: none on tables that exist.
-- Older program: runs on.

create table moonguard.retention_progress (
  task text primary key,
  reached uuid not null
);
comment on table moonguard.retention_progress is
  'How far the bodies of events are gone: up to this id none is left, so that the next run need not look there.';
insert into moonguard.retention_progress (task, reached) values ('remove_old_bodies', '00000000-0000-0000-0000-000000000000');

revoke all on moonguard.retention_progress from public, anon, authenticated, service_role;
alter table moonguard.retention_progress enable row level security;
create policy owner_only on moonguard.retention_progress using (false);

create function moonguard.uuid_v7_floor(p_time timestamptz) returns uuid
language sql stable parallel safe set search_path = '' as $$
  select (lpad(to_hex(greatest(extract(epoch from p_time) * 1000, 0)::bigint), 12, '0') || '70008000000000000000')::uuid
$$;
revoke all on function moonguard.uuid_v7_floor(timestamptz) from public, anon;
grant execute on function moonguard.uuid_v7_floor(timestamptz) to authenticated, service_role;
comment on function moonguard.uuid_v7_floor(timestamptz) is 'The least UUID version 7 of this millisecond: a bound by time as a bound by id.';

create function moonguard.note_retention(p_run uuid, p_task text, p_removed bigint, p_oldest timestamptz, p_newest timestamptz,
  p_digest text default null) returns void
language sql set search_path = '' as $$
  insert into moonguard.retention_runs as run (run_id, task, removed_count, oldest, newest, ids_digest)
  select p_run, p_task, p_removed, p_oldest, p_newest, p_digest where p_removed > 0
  on conflict (run_id, task) do update set removed_count = run.removed_count + excluded.removed_count,
    oldest = least(run.oldest, excluded.oldest), newest = greatest(run.newest, excluded.newest),
    ids_digest = encode(sha256(convert_to(run.ids_digest || excluded.ids_digest, 'UTF8')), 'hex')
$$;

-- Batches of two processes do not mix: the second sees that it is not alone, and leaves the work to the first.
create function moonguard.retention_is_ours() returns boolean
language sql set search_path = '' as $$
  select pg_try_advisory_xact_lock(hashtextextended('moonguard.retention', 0))
$$;

-- Those of some events that a legal hold covers. One with a policy_id covers rows of the policy log alone.
create function moonguard.held_events(p_ids uuid[]) returns uuid[]
language plpgsql stable set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
begin
  return array(
    select e.id from moonguard.legal_holds h, public.moonpay_webhook_events e
    left join moonguard.event_facts f on f.event_id = e.id
    where h.lifted_at is null and h.policy_id is null and e.id = any (p_ids)
      and (h.customer_id is null or h.customer_id in (f.customer, case e.entity_type when 'customer' then e.entity_id end))
      and (h.transaction_id is null or e.entity_type = 'transaction' and h.transaction_id = e.entity_id)
      and (h.correlation_id is null or h.correlation_id = 'evt_' || e.id)
      and (h.executed_from is null or h.executed_from <= e.received_at)
      and (h.executed_to is null or h.executed_to >= e.received_at));
end
$$;

-- Those of some events that stay, whatever their age: undecided ones, those that are to be delivered, and held ones.
create function moonguard.events_that_stay(p_ids uuid[]) returns uuid[]
language plpgsql stable set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_first uuid := (select id from unnest(p_ids) as id order by id limit 1);
  v_last uuid := (select id from unnest(p_ids) as id order by id desc limit 1);
begin
  return array(select id from public.moonpay_webhook_events where id = any (p_ids) and processed is not true)
    -- Deliveries are found by endpoint and then event: a range of each endpoint's.
    || array(
      select d.event_id from public.moonpay_webhook_config c
      join moonguard.deliveries d on d.endpoint_id = c.id and d.event_id between v_first and v_last
      where d.status = 'pending')
    || moonguard.held_events(p_ids);
end
$$;

-- The next events by id, those of them that may go, and their deliveries.
create function moonguard.old_events(p_before timestamptz, p_after uuid, p_limit integer, p_lock boolean)
returns table (event_ids uuid[], gone_ids uuid[], delivery_ids uuid[], oldest timestamptz, newest timestamptz)
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_stay uuid[];
begin
  select array_agg(e.id order by e.id), min(e.received_at), max(e.received_at) into event_ids, oldest, newest
  from (
    select id, received_at from public.moonpay_webhook_events
    where id > p_after and id < moonguard.uuid_v7_floor(p_before) and received_at < p_before and dedupe_key is not null
    order by id limit p_limit
  ) as e;
  if p_lock then
    -- Whoever is asking for one again at this moment is waited for, and its event stays.
    perform from public.moonpay_webhook_config c
    join moonguard.deliveries d on d.endpoint_id = c.id and d.event_id between event_ids[1] and event_ids[cardinality(event_ids)]
    order by d.id for update of d;
  end if;
  v_stay := moonguard.events_that_stay(event_ids);
  gone_ids := array(select id from unnest(event_ids) as id where id <> all (v_stay) order by id);
  delivery_ids := array(
    select d.id from public.moonpay_webhook_config c
    join moonguard.deliveries d on d.endpoint_id = c.id and d.event_id between gone_ids[1] and gone_ids[cardinality(gone_ids)]
    where d.event_id = any (gone_ids));
  return next;
end
$$;

-- Whether an event that may go does so when those received before p_before go: what would be done to it need not be counted.
create function moonguard.goes_with_events(p_id uuid, p_before timestamptz) returns boolean
language sql stable set search_path = '' as $$
  select coalesce(p_id < moonguard.uuid_v7_floor(p_before)
    and exists (select from public.moonpay_webhook_events where id = p_id and received_at < p_before and dedupe_key is not null), false)
$$;

create function moonguard.remove_old_events(p_run uuid, p_before timestamptz, p_after uuid, p_limit integer, p_dry_run boolean default false,
  p_events_before timestamptz default null)
returns table (last_id uuid, events bigint, deliveries bigint, attempts bigint, bodies bigint)
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
declare
  v_old record;
begin
  if not p_dry_run and not moonguard.retention_is_ours() then
    return;
  end if;
  select * into v_old from moonguard.old_events(p_before, p_after, p_limit, not p_dry_run);
  last_id := v_old.event_ids[cardinality(v_old.event_ids)];
  events := cardinality(v_old.gone_ids);
  deliveries := cardinality(v_old.delivery_ids);
  bodies := 0;
  if p_dry_run then
    select count(*) into attempts from moonguard.delivery_attempts a where a.delivery_id = any (v_old.delivery_ids);
  else
    delete from moonguard.delivery_attempts a where a.delivery_id = any (v_old.delivery_ids);
    get diagnostics attempts = row_count;
    delete from moonguard.deliveries d where d.id = any (v_old.delivery_ids);
    delete from public.moonpay_webhook_events e where e.id = any (v_old.gone_ids);
    perform moonguard.note_retention(p_run, 'remove_old_events', events, v_old.oldest, v_old.newest),
      moonguard.note_retention(p_run, 'remove_old_deliveries', deliveries, null, null),
      moonguard.note_retention(p_run, 'remove_old_attempts', attempts, null, null);
  end if;
  return next;
end
$$;
comment on function moonguard.remove_old_events(uuid, timestamptz, uuid, integer, boolean, timestamptz) is
  'Removes events received before p_before that are decided and delivered, exhausted, held back or filtered everywhere and under no legal hold, with their deliveries and attempts: at most p_limit events after the id p_after. No row: another session is at it; last_id null: none is left.';

create function moonguard.remove_old_attempts(p_run uuid, p_before timestamptz, p_after uuid, p_limit integer, p_dry_run boolean default false,
  p_events_before timestamptz default null)
returns table (last_id uuid, events bigint, deliveries bigint, attempts bigint, bodies bigint)
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_delivery_ids uuid[];
  v_event_ids uuid[];
  v_spared uuid[];
  v_stay uuid[];
  v_oldest timestamptz;
  v_newest timestamptz;
begin
  if not p_dry_run and not moonguard.retention_is_ours() then
    return;
  end if;
  events := 0;
  deliveries := 0;
  bodies := 0;
  -- A delivery is older than its attempts, so that its id bounds where they are. All of one delivery's go together.
  select array_agg(distinct a.delivery_id) into v_delivery_ids
  from (
    select delivery_id from moonguard.delivery_attempts
    where delivery_id > p_after and delivery_id < moonguard.uuid_v7_floor(p_before) and started_at < p_before
    order by delivery_id fetch first p_limit rows with ties
  ) as a;
  last_id := v_delivery_ids[cardinality(v_delivery_ids)];
  v_event_ids := array(select distinct d.event_id from moonguard.deliveries d where d.id = any (v_delivery_ids));
  v_spared := moonguard.held_events(v_event_ids);
  if p_dry_run then
    v_stay := moonguard.events_that_stay(v_event_ids);
    v_spared := v_spared || array(
      select id from unnest(v_event_ids) as id where id <> all (v_stay) and moonguard.goes_with_events(id, p_events_before));
  end if;
  v_delivery_ids := array(select d.id from moonguard.deliveries d where d.id = any (v_delivery_ids) and d.event_id <> all (v_spared));
  select count(*), min(a.started_at), max(a.started_at) into attempts, v_oldest, v_newest
  from moonguard.delivery_attempts a where a.delivery_id = any (v_delivery_ids) and a.started_at < p_before;
  if not p_dry_run then
    delete from moonguard.delivery_attempts a where a.delivery_id = any (v_delivery_ids) and a.started_at < p_before;
    perform moonguard.note_retention(p_run, 'remove_old_attempts', attempts, v_oldest, v_newest);
  end if;
  return next;
end
$$;
comment on function moonguard.remove_old_attempts(uuid, timestamptz, uuid, integer, boolean, timestamptz) is
  'Removes attempts that began before p_before: about p_limit, of deliveries after the id p_after, unless a legal hold covers their event. A dry run leaves out what goes with events received before p_events_before. What it returns is as for remove_old_events.';

create function moonguard.remove_old_bodies(p_run uuid, p_before timestamptz, p_after uuid, p_limit integer, p_dry_run boolean default false,
  p_events_before timestamptz default null)
returns table (last_id uuid, events bigint, deliveries bigint, attempts bigint, bodies bigint)
language plpgsql set search_path = '' set enable_seqscan = 'off' set jit = 'off' as $$
declare
  v_after uuid;
  v_old record;
begin
  if not p_dry_run and not moonguard.retention_is_ours() then
    return;
  end if;
  events := 0;
  deliveries := 0;
  attempts := 0;
  select greatest(p_after, reached) into v_after from moonguard.retention_progress where task = 'remove_old_bodies';
  select * into v_old from moonguard.old_events(p_before, v_after, p_limit, not p_dry_run);
  last_id := v_old.event_ids[cardinality(v_old.event_ids)];
  if p_dry_run then
    select count(*) into bodies from public.moonpay_webhook_events e
    where e.id = any (v_old.gone_ids) and e.raw_body is not null and not moonguard.goes_with_events(e.id, p_events_before);
  else
    update public.moonpay_webhook_events e set raw_body = null, event_data = 'null'
    where e.id = any (v_old.gone_ids) and e.raw_body is not null;
    get diagnostics bodies = row_count;
    update moonguard.delivery_attempts a set response_body = null
    where a.delivery_id = any (v_old.delivery_ids) and a.response_body is not null;
    perform moonguard.note_retention(p_run, 'remove_old_bodies', bodies, v_old.oldest, v_old.newest);
    -- What had to stay is looked at again next time, and all that comes after it.
    if v_old.gone_ids = v_old.event_ids then
      update moonguard.retention_progress set reached = last_id where task = 'remove_old_bodies' and reached = v_after;
    end if;
  end if;
  return next;
end
$$;
comment on function moonguard.remove_old_bodies(uuid, timestamptz, uuid, integer, boolean, timestamptz) is
  'Empties raw_body and event_data of such events, and response_body of the attempts at them; what is left can no longer be delivered. What it returns is as for remove_old_events.';

revoke all on function moonguard.note_retention(uuid, text, bigint, timestamptz, timestamptz, text),
  moonguard.retention_is_ours(), moonguard.held_events(uuid[]), moonguard.events_that_stay(uuid[]), moonguard.goes_with_events(uuid, timestamptz),
  moonguard.old_events(timestamptz, uuid, integer, boolean),
  moonguard.remove_old_events(uuid, timestamptz, uuid, integer, boolean, timestamptz), moonguard.remove_old_attempts(uuid, timestamptz, uuid, integer, boolean, timestamptz),
  moonguard.remove_old_bodies(uuid, timestamptz, uuid, integer, boolean, timestamptz)
  from public, anon, authenticated, service_role;
