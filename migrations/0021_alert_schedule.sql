-- Why: alerts in time and by people: deadlines in business hours, queues and who gets the next alert, compliance events, the
--   archive; and one function that does what is due of it.
-- Locks: SHARE on moonpay_compliance_alerts while the index of the archive is built.
-- Long because: deadlines, queues and events are what the one schedule at the end does; it is read with them.
-- Older program: runs on; its alerts get deadlines and queues too.

create table moonguard.alert_deadlines (
  severity text primary key,
  minutes integer not null,
  in_business_hours boolean not null default true,
  warn_before_minutes integer not null default 0,
  escalate_to text,
  constraint alert_deadlines_severity_check check (severity in ('low', 'medium', 'high', 'critical')),
  constraint alert_deadlines_minutes_check check (minutes between 1 and 525600),
  constraint alert_deadlines_warn_before_minutes_check check (warn_before_minutes >= 0 and warn_before_minutes < minutes),
  constraint alert_deadlines_escalate_to_check check (length(escalate_to) between 1 and 500)
);
comment on table moonguard.alert_deadlines is
  'By when alerts of a severity must be decided; without a row there is no deadline. Alerts that have a deadline keep it when this changes.';
comment on column moonguard.alert_deadlines.minutes is 'From the first hit, the last hit, or being reopened.';
comment on column moonguard.alert_deadlines.in_business_hours is 'Whether only minutes of business hours count (alert_settings, holidays); else it is round the clock.';
comment on column moonguard.alert_deadlines.warn_before_minutes is '0: no warning.';
comment on column moonguard.alert_deadlines.escalate_to is 'To whom an alert is escalated that nobody decided in time; null: it stays where it is.';
insert into moonguard.alert_deadlines (severity, minutes, in_business_hours, warn_before_minutes) values
  ('critical', 240, false, 60), ('high', 480, true, 120), ('medium', 1440, true, 480), ('low', 2400, true, 480);

create table moonguard.holidays (
  day date primary key,
  name text not null
);
comment on table moonguard.holidays is 'Days without business hours, in the time zone of alert_settings.';

create table moonguard.alert_people (
  id text primary key,
  name text,
  capacity integer,
  is_active boolean not null default true,
  constraint alert_people_id_check check (length(id) between 1 and 500),
  constraint alert_people_capacity_check check (capacity > 0)
);
comment on table moonguard.alert_people is
  'Who works on alerts. As long as nobody active is in it, an alert may be assigned to any name.';
comment on column moonguard.alert_people.id is 'As in assigned_to: the subject of the person''s JWT.';
comment on column moonguard.alert_people.capacity is 'How many undecided alerts are distributed to the person at a time; null: any number. By hand more may be assigned.';

create table moonguard.alert_queues (
  name text primary key,
  alert_types text[],
  severities text[],
  strategy text not null default 'manual',
  priority integer not null default 100,
  is_active boolean not null default true,
  constraint alert_queues_name_check check (length(name) between 1 and 500),
  constraint alert_queues_alert_types_check check (cardinality(alert_types) > 0),
  constraint alert_queues_severities_check check (cardinality(severities) > 0 and severities <@ array['low', 'medium', 'high', 'critical']),
  constraint alert_queues_strategy_check check (strategy in ('manual', 'least_loaded', 'round_robin'))
);
comment on table moonguard.alert_queues is 'Where alerts wait for a person: in the first active queue, by priority, that takes their type and severity.';
comment on column moonguard.alert_queues.alert_types is 'null: every type.';
comment on column moonguard.alert_queues.severities is 'null: every severity.';
comment on column moonguard.alert_queues.strategy is 'manual: people take alerts themselves; least_loaded: to who has least; round_robin: in turn.';
comment on column moonguard.alert_queues.priority is 'The least is asked first.';

create table moonguard.alert_queue_members (
  queue text not null references moonguard.alert_queues (name) on delete cascade,
  person text not null references moonguard.alert_people (id) on delete cascade,
  last_turn bigint not null default 0,
  primary key (queue, person)
);
create index alert_queue_members_person_idx on moonguard.alert_queue_members (person);
comment on table moonguard.alert_queue_members is 'Who gets alerts of which queue.';
comment on column moonguard.alert_queue_members.last_turn is 'Rises with each alert that the queue gives out; the least is next in turn. A time would not do: two may be given out within a millisecond.';

-- Who loosened a deadline is asked like who switched four-eyes off.
create function moonguard.note_alert_setting() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before jsonb := case when tg_op <> 'INSERT' then jsonb_build_object(tg_table_name, to_jsonb(old)) else '{}' end;
  v_after jsonb := case when tg_op <> 'DELETE' then jsonb_build_object(tg_table_name, to_jsonb(new)) else '{}' end;
begin
  if v_before <> v_after then
    insert into moonguard.alert_setting_changes (actor, before, after)
    values (coalesce(moonguard.current_actor(), session_user), v_before, v_after);
  end if;
  return null;
end
$$;
create trigger alert_deadlines_note after insert or update or delete on moonguard.alert_deadlines
  for each row execute function moonguard.note_alert_setting();
create trigger holidays_note after insert or update or delete on moonguard.holidays
  for each row execute function moonguard.note_alert_setting();
create trigger alert_people_note after insert or update or delete on moonguard.alert_people
  for each row execute function moonguard.note_alert_setting();
create trigger alert_queues_note after insert or update or delete on moonguard.alert_queues
  for each row execute function moonguard.note_alert_setting();
-- Turns are no setting.
create trigger alert_queue_members_note after insert or delete on moonguard.alert_queue_members
  for each row execute function moonguard.note_alert_setting();
create trigger alert_templates_note after insert or update or delete on moonguard.alert_templates
  for each row execute function moonguard.note_alert_setting();
comment on table moonguard.alert_setting_changes is
  'Every change of how alerts are worked on, append-only: who switched four-eyes off or loosened a deadline, and when.';
comment on column moonguard.alert_setting_changes.before is
  'The changed columns of alert_settings as they were, or the row of another table under its name; empty for a new row.';

-- Opening hours are turned into moments day by day, and only differences of moments are counted: exact over weekends,
-- holidays and changes of the clocks. Null when there is no such moment within ten years: better an alert without a deadline
-- than no alert.
create function moonguard.due_at(p_from timestamptz, p_minutes integer, p_in_business_hours boolean) returns timestamptz
language plpgsql stable strict set search_path = '' as $$
declare
  v_settings moonguard.alert_settings%rowtype;
  v_day date;
  v_holidays date[];
  v_start timestamptz;
  v_open double precision;
  v_left double precision := p_minutes * 60.0;
begin
  if not p_in_business_hours then
    return p_from + make_interval(secs => v_left);
  end if;
  select * into v_settings from moonguard.alert_settings;
  v_day := (p_from at time zone v_settings.time_zone)::date;
  v_holidays := array(select day from moonguard.holidays where day >= v_day);
  for v_tried in 1..3660 loop
    if extract(isodow from v_day)::integer = any (v_settings.business_days)
        and v_day <> all (v_holidays) then
      v_start := greatest((v_day + v_settings.opens_at) at time zone v_settings.time_zone, p_from);
      -- A day plus 24:00 is the next midnight.
      v_open := greatest(extract(epoch from (v_day + v_settings.closes_at) at time zone v_settings.time_zone - v_start), 0);
      if v_open >= v_left then
        return v_start + make_interval(secs => v_left);
      end if;
      v_left := v_left - v_open;
    end if;
    v_day := v_day + 1;
  end loop;
  return null;
end
$$;
comment on function moonguard.due_at(timestamptz, integer, boolean) is
  'The moment when so many minutes, or minutes of business hours, have passed since p_from.';

create function moonguard.alert_keeps_deadline() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- Not the start of the transaction, and not triggered_at: nobody could have seen the alert before.
  v_now timestamptz := clock_timestamp();
  v_rule moonguard.alert_deadlines%rowtype;
  v_warning timestamptz;
  v_due timestamptz;
  -- A row from before Moonguard may have no status and no severity.
  v_was_worked_on boolean := tg_op = 'UPDATE' and coalesce(old.status, '') not in ('resolved', 'dismissed') and old.merged_into is null;
  v_begins boolean := not v_was_worked_on or coalesce(new.occurrence_count > old.occurrence_count, false);
  v_gets_worse boolean := new.severity is distinct from old.severity
    and coalesce(moonguard.worse_severity(old.severity, new.severity) = new.severity, false);
  -- By hand, or with the new alert.
  v_is_given boolean := new.due_at is distinct from old.due_at;
begin
  if new.status in ('resolved', 'dismissed') or new.merged_into is not null then
    -- The schedule may not have run between the deadline and the decision.
    if v_was_worked_on and old.next_step_at is not null and v_now >= old.due_at then
      new.breached_at := coalesce(old.breached_at, v_now);
    end if;
    new.deadline_step := 'none';
    new.next_step_at := null;
    return new;
  end if;
  if not (v_begins or v_gets_worse or v_is_given) then
    return new;
  end if;

  select * into v_rule from moonguard.alert_deadlines where severity = new.severity;
  if not v_is_given then
    v_warning := moonguard.due_at(v_now, v_rule.minutes - v_rule.warn_before_minutes, v_rule.in_business_hours);
    v_due := moonguard.due_at(v_warning, v_rule.warn_before_minutes, v_rule.in_business_hours);
    -- Worse by a person's judgement: never later than it was.
    if not v_begins and (v_due is null or old.due_at <= v_due) then
      return new;
    end if;
    new.due_at := v_due;
    new.next_step_at := v_warning;
  else
    new.next_step_at := new.due_at - make_interval(mins => coalesce(v_rule.warn_before_minutes, 0));
    if new.next_step_at <= v_now then
      new.next_step_at := new.due_at;
    end if;
  end if;
  new.deadline_step := case when new.due_at is null then 'none' else 'running' end;
  return new;
end
$$;
create trigger alert_before_4_deadline
  before insert or update of status, severity, risk_score, risk_level, occurrence_count, due_at, merged_into on public.moonpay_compliance_alerts
  for each row execute function moonguard.alert_keeps_deadline();

-- A hit on a merged alert is a hit on the piece of work: its deadline starts again, and what was proposed was proposed on
-- other facts. Severity and score have come to the lead before, by alert_after_5_merged.
create function moonguard.hit_reaches_lead() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  update public.moonpay_compliance_alerts lead set proposed_status = null, due_at = (
    select moonguard.due_at(clock_timestamp(), d.minutes, d.in_business_hours) from moonguard.alert_deadlines d where d.severity = lead.severity)
  where lead.id = new.merged_into and lead.status in ('open', 'in_review', 'escalated');
  return null;
end
$$;
create trigger alert_after_5_merged_hit after update of occurrence_count on public.moonpay_compliance_alerts
  for each row when (new.merged_into is not null and new.occurrence_count > old.occurrence_count)
  execute function moonguard.hit_reaches_lead();

create function moonguard.alert_queue_for(p_alert_type text, p_severity text) returns text
language sql stable set search_path = '' as $$
  select name from moonguard.alert_queues
  where is_active and (alert_types is null or p_alert_type = any (alert_types)) and (severities is null or p_severity = any (severities))
  order by priority, name limit 1
$$;

create function moonguard.alert_enters_queue() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.queue is null then
    new.queue := moonguard.alert_queue_for(new.alert_type, new.severity);
  elsif not exists (select from moonguard.alert_queues where name = new.queue) then
    raise exception using
      errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_queue_check',
      message = format('there is no queue %s', new.queue), hint = 'See moonguard.alert_queues.';
  end if;
  return new;
end
$$;
create trigger alert_before_5_queue before insert or update of queue on public.moonpay_compliance_alerts
  for each row execute function moonguard.alert_enters_queue();

-- Alerts that waited for no queue when they were raised.
create function moonguard.queue_takes_waiting() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  with waiting as (
    select id, moonguard.alert_queue_for(alert_type, severity) as destination from public.moonpay_compliance_alerts
    where queue is null and status in ('open', 'in_review', 'escalated')
    order by id for no key update
  )
  update public.moonpay_compliance_alerts a set queue = destination from waiting where a.id = waiting.id and destination is not null;
  return null;
end
$$;
create trigger alert_queues_take_waiting after insert or update on moonguard.alert_queues
  for each statement execute function moonguard.queue_takes_waiting();

create function moonguard.alert_knows_assignee() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if new.assigned_to is distinct from old.assigned_to
      and not exists (select from moonguard.alert_people where id = new.assigned_to and is_active)
      and exists (select from moonguard.alert_people where is_active) then
    raise exception using
      errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_assignee',
      message = format('%s is nobody who works on alerts', new.assigned_to), hint = 'See moonguard.alert_people.';
  end if;
  return new;
end
$$;
create trigger alert_before_6_assignee before insert or update of assigned_to on public.moonpay_compliance_alerts
  for each row when (new.assigned_to is not null) execute function moonguard.alert_knows_assignee();

-- Tells the endpoints that subscribed to it by its exact name, and nobody else: not even a row of the event is there when there
-- are none. Nothing in it names the customer.
create function moonguard.raise_compliance_event(p_alert public.moonpay_compliance_alerts, p_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_environment text := case when p_alert.metadata ->> 'environment' = 'sandbox' then 'sandbox' else 'production' end;
  v_id uuid;
  v_sequence bigint;
  v_iso text := 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"';
  v_body jsonb;
begin
  if not exists (select from public.moonpay_webhook_config
      where environment = v_environment and deleted_at is null and events @> array[p_name]) then
    return;
  end if;
  v_id := moonguard.uuid_v7();
  v_sequence := nextval('moonguard.event_sequence');
  v_body := jsonb_build_object('type', p_name, 'data', jsonb_build_object(
    'id', v_id, 'createdAt', to_char(clock_timestamp() at time zone 'UTC', v_iso), 'alertId', p_alert.alert_id, 'alertType', p_alert.alert_type,
    'severity', p_alert.severity, 'status', p_alert.status, 'assignedTo', p_alert.assigned_to, 'escalatedTo', p_alert.escalated_to,
    'dueAt', to_char(p_alert.due_at at time zone 'UTC', v_iso)));
  insert into public.moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment, dedupe_key,
    entity_type, entity_id, occurred_at, processed, processed_at, sequence)
  values (v_id, p_name, p_name, v_body, convert_to(v_body::text, 'UTF8'), '', v_environment, p_name || ':' || v_id,
    'alert', p_alert.alert_id, now(), true, now(), v_sequence);
  insert into moonguard.deliveries (event_id, endpoint_id, status, ordering_key, event_sequence)
  select v_id, c.id, case when c.status in ('active', 'suspended') then 'pending' else 'held' end,
    case when c.delivery_settings ->> 'ordering' = 'entity' then 'alert:' || p_alert.alert_id end, v_sequence
  from public.moonpay_webhook_config c
  where c.environment = v_environment and c.deleted_at is null and c.events @> array[p_name];
  perform pg_notify('moonguard_deliveries', '');
end
$$;

create function moonguard.alert_raises_events() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_word text;
begin
  -- Suppressed, or history from elsewhere: nothing that anybody must look at.
  if tg_op = 'INSERT' and new.status in ('resolved', 'dismissed') then
    return null;
  end if;
  foreach v_word in array array_remove(array[
    case when tg_op = 'INSERT' then 'created' end,
    case when new.assigned_to is distinct from old.assigned_to and new.assigned_to is not null then 'assigned' end,
    case when new.deadline_step is distinct from old.deadline_step then
      case new.deadline_step when 'warned' then 'due_soon' when 'breached' then 'overdue' end end,
    case when new.status <> old.status then
      case when new.status <> 'open' then new.status when old.status in ('resolved', 'dismissed') then 'reopened' end end
  ], null) loop
    perform moonguard.raise_compliance_event(new, 'compliance.alert_' || v_word);
  end loop;
  return null;
end
$$;
create trigger alert_after_4_events after insert or update of status, assigned_to, deadline_step on public.moonpay_compliance_alerts
  for each row execute function moonguard.alert_raises_events();

-- Gives out what waits in queues, the worst and oldest first. Here and not when the alert is raised: one at a time, so that
-- nobody gets more than his capacity, and no new alert waits for another. It ends where nobody has room, so that its time does
-- not depend on how many wait, and looks at ten times p_limit at most: those that everybody gave back wait in front.
create function moonguard.distribute_alerts(p_limit integer default 100) returns integer
language plpgsql set search_path = '' as $$
declare
  v_queue record;
  v_alert_id uuid;
  v_member record;
  v_distributed integer := 0;
begin
  perform pg_advisory_xact_lock(hashtextextended('moonguard.alert_schedule', 0));
  for v_queue in select name, strategy from moonguard.alert_queues where is_active and strategy <> 'manual' order by priority, name loop
    for v_alert_id in
      select id from public.moonpay_compliance_alerts
      where queue = v_queue.name and status = 'open' and assigned_to is null and merged_into is null
      -- As the index of what waits has it.
      order by array_position('{critical,high,medium,low}', severity), triggered_at, id
      limit 10 * p_limit for no key update skip locked
    loop
      exit when v_distributed = p_limit;
      select m.person, t.has_had_it into v_member
      from moonguard.alert_queue_members m
      join moonguard.alert_people p on p.id = m.person and p.is_active
      cross join lateral (
        select count(*) as alerts from public.moonpay_compliance_alerts a
        where a.assigned_to = m.person and a.status in ('open', 'in_review', 'escalated') and a.merged_into is null
      ) as load
      -- Whoever gave it back does not get it again.
      cross join lateral (
        select exists (select from moonguard.alert_timeline
          where alert_id = v_alert_id and before ->> 'assigned_to' = m.person) as has_had_it
      ) as t
      where m.queue = v_queue.name and (p.capacity is null or load.alerts < p.capacity)
      order by t.has_had_it, case when v_queue.strategy = 'least_loaded' then load.alerts end, m.last_turn, m.person
      limit 1;
      exit when not found;
      continue when v_member.has_had_it;
      update public.moonpay_compliance_alerts set assigned_to = v_member.person where id = v_alert_id;
      update moonguard.alert_queue_members
      set last_turn = 1 + (select max(last_turn) from moonguard.alert_queue_members where queue = v_queue.name)
      where queue = v_queue.name and person = v_member.person;
      v_distributed := v_distributed + 1;
    end loop;
  end loop;
  return v_distributed;
end
$$;
comment on function moonguard.distribute_alerts(integer) is
  'Assigns at most p_limit open alerts of the queues to their members; returns how many. Waits while another session does.';

select moonguard.add_index('public.moonpay_compliance_alerts', 'moonpay_compliance_alerts_archive_idx',
  $$((coalesce(resolved_at, updated_at))) where archived_at is null and status in ('resolved', 'dismissed')$$);

-- Alerts that cannot be changed are passed over: a row from before Moonguard that breaks a rule stays in the lists until
-- somebody corrects it.
create function moonguard.archive_batch(p_now timestamptz, p_limit integer, p_run uuid default moonguard.uuid_v7()) returns integer
language plpgsql set search_path = '' as $$
declare
  -- In hours: days would follow the time zone of the session.
  v_before timestamptz := p_now - make_interval(hours => 24 * (select archive_after_days from moonguard.alert_settings));
  v_alert record;
  v_archived integer := 0;
  v_oldest timestamptz;
  v_newest timestamptz;
begin
  for v_alert in
    select a.id, coalesce(a.resolved_at, a.updated_at) as decided_at from public.moonpay_compliance_alerts a
    where a.status in ('resolved', 'dismissed') and a.archived_at is null and coalesce(a.resolved_at, a.updated_at) < v_before
      and not exists (
        select from moonguard.legal_holds h
        where h.lifted_at is null and h.policy_id is null
          and (h.customer_id is null or h.customer_id = a.customer_id)
          and (h.transaction_id is null or h.transaction_id = a.transaction_id)
          and (h.correlation_id is null or h.correlation_id = a.correlation_id)
          and (h.executed_from is null or h.executed_from <= a.triggered_at)
          and (h.executed_to is null or h.executed_to >= a.triggered_at))
    order by coalesce(a.resolved_at, a.updated_at) for no key update skip locked
  loop
    exit when v_archived = p_limit;
    begin
      update public.moonpay_compliance_alerts
      set archived_at = p_now, metadata = coalesce(metadata, '{}') || '{"archived": true}' where id = v_alert.id;
      v_archived := v_archived + 1;
      v_oldest := coalesce(v_oldest, v_alert.decided_at);
      v_newest := v_alert.decided_at;
    exception when check_violation then null;
    end;
  end loop;
  perform moonguard.note_retention(p_run, 'archive_old_moonpay_compliance_alerts', v_archived, v_oldest, v_newest);
  return v_archived;
end
$$;

create or replace function public.archive_old_moonpay_compliance_alerts(p_now timestamptz default now()) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  v_run uuid := moonguard.uuid_v7();
  v_batch integer;
  v_archived bigint := 0;
begin
  loop
    v_batch := moonguard.archive_batch(p_now, 1000, v_run);
    exit when v_batch = 0;
    v_archived := v_archived + v_batch;
  end loop;
  return v_archived;
end
$$;
comment on function public.archive_old_moonpay_compliance_alerts(timestamptz) is
  'Archives alerts that were resolved or dismissed over a year ago (alert_settings.archive_after_days) and that no legal hold covers; returns how many. They stay readable.';
comment on table moonguard.legal_holds is
  'Rows of the policy log that match every given column of a hold that is not lifted are not removed; such alerts are not archived (executed_from and executed_to bound triggered_at; a hold with a policy_id covers no alert).';

-- What is due, once: the lock ends with the transaction, and each step is written together with its event and its move, so
-- that a crash leaves it undone. It waits for nobody longer than a second; what fails is tried again with the next run and
-- does not hold up the rest.
create function moonguard.run_alert_schedule(p_now timestamptz default now(), p_limit integer default 100)
returns table (is_leader boolean, warned integer, breached integer, escalated integer, assigned integer, archived integer,
  failure text, more boolean, next_due timestamptz)
language plpgsql set search_path = '' set lock_timeout = '1s' as $$
declare
  v_actor text := current_setting('moonguard.actor', true);
  v_alert record;
  v_target text;
  v_task text;
  v_done integer;
begin
  is_leader := pg_try_advisory_xact_lock(hashtextextended('moonguard.alert_schedule', 0));
  warned := 0;
  breached := 0;
  escalated := 0;
  assigned := 0;
  archived := 0;
  more := false;
  if not is_leader then
    return next;
    return;
  end if;
  perform set_config('moonguard.actor', 'system', true);

  for v_alert in
    select id, severity, status, due_at from public.moonpay_compliance_alerts
    where next_step_at <= p_now order by next_step_at for no key update skip locked
  loop
    exit when warned + breached = p_limit;
    begin
      if p_now < v_alert.due_at then
        update public.moonpay_compliance_alerts set deadline_step = 'warned', next_step_at = due_at where id = v_alert.id;
        warned := warned + 1;
      else
        v_target := (select escalate_to from moonguard.alert_deadlines
          where severity = v_alert.severity and v_alert.status in ('open', 'in_review'));
        update public.moonpay_compliance_alerts set deadline_step = 'breached', next_step_at = null, breached_at = coalesce(breached_at, p_now),
          status = case when v_target is null then status else 'escalated' end,
          escalated_to = coalesce(v_target, escalated_to),
          status_reason = case when v_target is null then status_reason
            else format('not decided by %s', to_char(due_at at time zone 'UTC', 'YYYY-MM-DD HH24:MI "UTC"')) end
        where id = v_alert.id;
        breached := breached + 1;
        escalated := escalated + (v_target is not null)::integer;
      end if;
    exception when others then
      failure := sqlstate;
    end;
  end loop;

  foreach v_task in array array['distribute_alerts($2)', 'archive_batch($1, $2)', 'repair_alert_links($1, $2)', 'end_suppressions($1)', 'fold_alert_counts()'] loop
    begin
      execute 'select moonguard.' || v_task into v_done using p_now, p_limit;
      case v_task
        when 'distribute_alerts($2)' then assigned := v_done;
        when 'archive_batch($1, $2)' then archived := v_done;
        else null;
      end case;
    exception when others then
      failure := sqlstate;
    end;
  end loop;

  perform set_config('moonguard.actor', coalesce(v_actor, ''), true);
  more := p_limit in (warned + breached, assigned, archived);
  next_due := (select min(next_step_at) from public.moonpay_compliance_alerts where next_step_at > p_now);
  return next;
end
$$;
comment on function moonguard.run_alert_schedule(timestamptz, integer) is
  'Warns of deadlines, notes and escalates what is overdue, distributes, archives and tidies up: at most p_limit of each, more: call again. Of several sessions one does it (is_leader). failure: SQLSTATE of what could not be done; next_due: when the next deadline or warning is.';

-- Who may do what.
revoke all on moonguard.alert_deadlines, moonguard.holidays, moonguard.alert_people, moonguard.alert_queues, moonguard.alert_queue_members
  from public, anon, authenticated, service_role;
revoke all on function moonguard.due_at(timestamptz, integer, boolean), moonguard.note_alert_setting(),
  moonguard.alert_keeps_deadline(), moonguard.hit_reaches_lead(), moonguard.alert_queue_for(text, text),
  moonguard.alert_enters_queue(), moonguard.queue_takes_waiting(), moonguard.alert_knows_assignee(),
  moonguard.raise_compliance_event(public.moonpay_compliance_alerts, text), moonguard.alert_raises_events(),
  moonguard.distribute_alerts(integer), moonguard.archive_batch(timestamptz, integer, uuid),
  moonguard.run_alert_schedule(timestamptz, integer)
  from public, anon, authenticated, service_role;

grant select, insert, update on moonguard.alert_deadlines, moonguard.holidays, moonguard.alert_people, moonguard.alert_queues, moonguard.alert_queue_members
  to authenticated, service_role;
grant delete on moonguard.alert_deadlines, moonguard.holidays, moonguard.alert_queue_members to authenticated, service_role;
grant update (queue) on public.moonpay_compliance_alerts to authenticated;

do $policies$
declare
  v_table text;
begin
  foreach v_table in array array['alert_deadlines', 'holidays', 'alert_people', 'alert_queues', 'alert_queue_members'] loop
    execute format('alter table moonguard.%I enable row level security', v_table);
    execute format('create policy %I on moonguard.%I for select to authenticated
      using ((select moonguard.has_role(''admin'', ''compliance_officer'', ''compliance_analyst'', ''auditor'')))', v_table || '_read', v_table);
    execute format('create policy %I on moonguard.%I for insert to authenticated
      with check ((select moonguard.has_role(''admin'', ''compliance_officer'')))', v_table || '_add', v_table);
    execute format('create policy %I on moonguard.%I for update to authenticated
      using ((select moonguard.has_role(''admin'', ''compliance_officer''))) with check ((select moonguard.has_role(''admin'', ''compliance_officer'')))',
      v_table || '_change', v_table);
  end loop;
  foreach v_table in array array['alert_deadlines', 'holidays', 'alert_queue_members'] loop
    execute format('create policy %I on moonguard.%I for delete to authenticated
      using ((select moonguard.has_role(''admin'', ''compliance_officer'')))', v_table || '_remove', v_table);
  end loop;
end
$policies$;
