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

create function moonguard.note_retention(p_run uuid, p_task text, p_removed bigint, p_oldest timestamptz, p_newest timestamptz) returns void
language sql set search_path = '' as $$
  insert into moonguard.retention_runs as run (run_id, task, removed_count, oldest, newest)
  select p_run, p_task, p_removed, p_oldest, p_newest where p_removed > 0
  on conflict (run_id, task) do update set removed_count = run.removed_count + excluded.removed_count,
    oldest = least(run.oldest, excluded.oldest), newest = greatest(run.newest, excluded.newest)
$$;

-- Batches of two processes do not mix: the second sees that it is not alone, and leaves the work to the first.
create function moonguard.retention_is_ours() returns boolean
language sql set search_path = '' as $$
  select pg_try_advisory_xact_lock(hashtextextended('moonguard.retention', 0))
$$;

-- The next events by id, those of them that may go, and their deliveries. Undecided events stay, and those that are to be
-- delivered. Events from before Moonguard have no dedupe_key, and ids of any kind: they are not ours to remove.
create function moonguard.old_events(p_before timestamptz, p_after uuid, p_limit integer, p_lock boolean)
returns table (event_ids uuid[], gone_ids uuid[], delivery_ids uuid[], oldest timestamptz, newest timestamptz)
language plpgsql set search_path = '' set enable_seqscan = 'off' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_kept uuid[];
begin
  select array_agg(e.id order by e.id), coalesce(array_agg(e.id) filter (where e.processed is not true), '{}'),
    min(e.received_at), max(e.received_at)
  into event_ids, v_kept, oldest, newest
  from (
    select id, processed, received_at from public.moonpay_webhook_events
    where id > p_after and id < moonguard.uuid_v7_floor(p_before) and received_at < p_before and dedupe_key is not null
    order by id limit p_limit
  ) as e;
  -- Deliveries are found by endpoint and then event: a range of each endpoint's.
  if p_lock then
    -- Whoever is asking for one again at this moment is waited for, and its event stays.
    perform from public.moonpay_webhook_config c
    join moonguard.deliveries d on d.endpoint_id = c.id and d.event_id between event_ids[1] and event_ids[cardinality(event_ids)]
    order by d.id for update of d;
  end if;
  v_kept := v_kept || array(
    select d.event_id from public.moonpay_webhook_config c
    join moonguard.deliveries d on d.endpoint_id = c.id and d.event_id between event_ids[1] and event_ids[cardinality(event_ids)]
    where d.status = 'pending');
  gone_ids := array(select id from unnest(event_ids) as id where id <> all (v_kept) order by id);
  delivery_ids := array(
    select d.id from public.moonpay_webhook_config c
    join moonguard.deliveries d on d.endpoint_id = c.id and d.event_id between gone_ids[1] and gone_ids[cardinality(gone_ids)]
    where d.event_id = any (gone_ids));
  return next;
end
$$;

create function moonguard.remove_old_events(p_run uuid, p_before timestamptz, p_after uuid, p_limit integer, p_dry_run boolean default false)
returns table (last_id uuid, events bigint, deliveries bigint, attempts bigint, bodies bigint)
language plpgsql set search_path = '' set enable_seqscan = 'off' as $$
declare
  v_old record;
begin
  if not moonguard.retention_is_ours() then
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
comment on function moonguard.remove_old_events(uuid, timestamptz, uuid, integer, boolean) is
  'Removes events received before p_before that are decided and delivered, exhausted, held or filtered everywhere, with their deliveries and attempts: at most p_limit events after the id p_after. No row: another session is at it; last_id null: none is left.';

create function moonguard.remove_old_attempts(p_run uuid, p_before timestamptz, p_after uuid, p_limit integer, p_dry_run boolean default false)
returns table (last_id uuid, events bigint, deliveries bigint, attempts bigint, bodies bigint)
language plpgsql set search_path = '' set enable_seqscan = 'off' set plan_cache_mode = 'force_custom_plan' as $$
declare
  v_delivery_ids uuid[];
  v_oldest timestamptz;
  v_newest timestamptz;
begin
  if not moonguard.retention_is_ours() then
    return;
  end if;
  events := 0;
  deliveries := 0;
  bodies := 0;
  -- A delivery is older than its attempts, so that its id bounds where they are. All of one delivery's go together.
  select array_agg(distinct a.delivery_id), count(*), min(a.started_at), max(a.started_at)
  into v_delivery_ids, attempts, v_oldest, v_newest
  from (
    select delivery_id, started_at from moonguard.delivery_attempts
    where delivery_id > p_after and delivery_id < moonguard.uuid_v7_floor(p_before) and started_at < p_before
    order by delivery_id fetch first p_limit rows with ties
  ) as a;
  last_id := v_delivery_ids[cardinality(v_delivery_ids)];
  if not p_dry_run then
    delete from moonguard.delivery_attempts a where a.delivery_id = any (v_delivery_ids) and a.started_at < p_before;
    get diagnostics attempts = row_count;
    perform moonguard.note_retention(p_run, 'remove_old_attempts', attempts, v_oldest, v_newest);
  end if;
  return next;
end
$$;
comment on function moonguard.remove_old_attempts(uuid, timestamptz, uuid, integer, boolean) is
  'Removes attempts that began before p_before: about p_limit, of deliveries after the id p_after. What it returns is as for remove_old_events.';

create function moonguard.remove_old_bodies(p_run uuid, p_before timestamptz, p_after uuid, p_limit integer, p_dry_run boolean default false)
returns table (last_id uuid, events bigint, deliveries bigint, attempts bigint, bodies bigint)
language plpgsql set search_path = '' set enable_seqscan = 'off' as $$
declare
  v_after uuid;
  v_old record;
begin
  if not moonguard.retention_is_ours() then
    return;
  end if;
  events := 0;
  deliveries := 0;
  attempts := 0;
  select greatest(p_after, reached) into v_after from moonguard.retention_progress where task = 'remove_old_bodies';
  select * into v_old from moonguard.old_events(p_before, v_after, p_limit, not p_dry_run);
  last_id := v_old.event_ids[cardinality(v_old.event_ids)];
  if p_dry_run then
    select count(*) into bodies from public.moonpay_webhook_events e where e.id = any (v_old.gone_ids) and e.raw_body is not null;
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
comment on function moonguard.remove_old_bodies(uuid, timestamptz, uuid, integer, boolean) is
  'Empties raw_body and event_data of such events, and response_body of the attempts at them; what is left can no longer be delivered. What it returns is as for remove_old_events.';

revoke all on function moonguard.note_retention(uuid, text, bigint, timestamptz, timestamptz),
  moonguard.retention_is_ours(), moonguard.old_events(timestamptz, uuid, integer, boolean),
  moonguard.remove_old_events(uuid, timestamptz, uuid, integer, boolean), moonguard.remove_old_attempts(uuid, timestamptz, uuid, integer, boolean),
  moonguard.remove_old_bodies(uuid, timestamptz, uuid, integer, boolean)
  from public, anon, authenticated, service_role;
