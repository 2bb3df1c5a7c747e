-- Why: the case workflow for every client: who moves an alert, two persons where it matters, a complete history; its settings.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_compliance_alerts, for the time of a catalogue change.
-- Older program: goes on; a move without a person is refused.
-- Long because: settings, risk, workflow and history are triggers of one table, which run one after the other.

create table moonguard.alert_settings (
  is_the_one boolean primary key default true,
  four_eyes boolean not null default false,
  four_eyes_severities text[] not null default '{high,critical}',
  band_medium integer not null default 40,
  band_high integer not null default 70,
  band_extreme integer not null default 85,
  severity_floor_high text not null default 'medium',
  severity_floor_extreme text not null default 'high',
  correlation_days integer not null default 30,
  time_zone text not null default 'UTC',
  business_days integer[] not null default '{1,2,3,4,5}',
  opens_at time not null default '09:00',
  closes_at time not null default '17:00',
  archive_after_days integer not null default 365,
  updated_at timestamptz not null default now(),
  updated_by text,
  constraint alert_settings_is_the_one_check check (is_the_one),
  constraint alert_settings_four_eyes_severities_check check (four_eyes_severities <@ '{low,medium,high,critical}'),
  constraint alert_settings_band_medium_check check (band_medium > 0),
  constraint alert_settings_band_high_check check (band_high > band_medium),
  constraint alert_settings_band_extreme_check check (band_extreme > band_high and band_extreme <= 100),
  constraint alert_settings_severity_floor_high_check check (severity_floor_high in ('low', 'medium', 'high', 'critical')),
  constraint alert_settings_severity_floor_extreme_check check (severity_floor_extreme in ('low', 'medium', 'high', 'critical')),
  constraint alert_settings_correlation_days_check check (correlation_days between 0 and 3650),
  constraint alert_settings_business_days_check
    check (cardinality(business_days) > 0 and array_position(business_days, null) is null and business_days <@ '{1,2,3,4,5,6,7}'),
  constraint alert_settings_closes_at_check check (closes_at > opens_at),
  constraint alert_settings_archive_after_days_check check (archive_after_days between 1 and 36500)
);
insert into moonguard.alert_settings default values;
comment on table moonguard.alert_settings is 'How alerts are worked on; one row.';
comment on column moonguard.alert_settings.four_eyes is 'Whether one person proposes the decision on a severe alert and another one decides.';
comment on column moonguard.alert_settings.four_eyes_severities is 'Which alerts are severe, by the worst severity they ever had.';
comment on column moonguard.alert_settings.band_medium is 'From this score on the risk level is at least medium; band_high and band_extreme likewise.';
comment on column moonguard.alert_settings.severity_floor_high is 'The least severity of an alert whose risk level is high.';
comment on column moonguard.alert_settings.correlation_days is 'How far apart alerts of one matter may be; 0: none are linked.';
comment on column moonguard.alert_settings.time_zone is 'Of business days, opens_at and closes_at.';
comment on column moonguard.alert_settings.business_days is 'ISO: Monday is 1.';
comment on column moonguard.alert_settings.closes_at is '24:00 is the end of the day.';
comment on column moonguard.alert_settings.archive_after_days is 'How long after the decision an alert leaves the daily lists.';

create table moonguard.alert_setting_changes (
  id bigint generated always as identity primary key,
  at timestamptz not null default clock_timestamp(),
  actor text not null,
  before jsonb not null,
  after jsonb not null
);
comment on table moonguard.alert_setting_changes is 'Every change of the settings of alerts, append-only: who switched four-eyes off, and when.';
create trigger alert_setting_changes_append_only before update or delete on moonguard.alert_setting_changes
  for each row execute function moonguard.refuse_change();
create trigger alert_setting_changes_no_truncate before truncate on moonguard.alert_setting_changes
  for each statement execute function moonguard.refuse_change();

create function moonguard.alert_settings_before_change() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if not exists (select from pg_catalog.pg_timezone_names where name = new.time_zone) then
    raise exception using
      errcode = 'check_violation', constraint = 'alert_settings_time_zone_check',
      message = format('there is no time zone %s', new.time_zone), hint = 'Take a name of pg_timezone_names, such as Europe/Vienna.';
  end if;
  new.updated_at := clock_timestamp();
  new.updated_by := coalesce(moonguard.current_actor(), session_user);
  return new;
end
$$;
create trigger alert_settings_before_change before update on moonguard.alert_settings
  for each row execute function moonguard.alert_settings_before_change();

create function moonguard.alert_settings_after_change() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  v_before jsonb := to_jsonb(old) - '{updated_at,updated_by}'::text[];
begin
  insert into moonguard.alert_setting_changes (actor, before, after)
  select new.updated_by, jsonb_object_agg(key, v_before -> key), jsonb_object_agg(key, value)
  from jsonb_each(to_jsonb(new)) where value <> v_before -> key having count(*) > 0;
  return null;
end
$$;
create trigger alert_settings_after_change after update on moonguard.alert_settings
  for each row execute function moonguard.alert_settings_after_change();

alter table moonguard.alert_settings enable row level security;
alter table moonguard.alert_setting_changes enable row level security;
revoke all on moonguard.alert_settings, moonguard.alert_setting_changes from public, anon, authenticated, service_role;
revoke all on function moonguard.alert_settings_before_change(), moonguard.alert_settings_after_change() from public, anon, authenticated, service_role;
grant select, update (four_eyes, four_eyes_severities, band_medium, band_high, band_extreme, severity_floor_high, severity_floor_extreme,
  correlation_days, time_zone, business_days, opens_at, closes_at, archive_after_days) on moonguard.alert_settings to authenticated, service_role;
grant select on moonguard.alert_setting_changes to authenticated, service_role;
create policy alert_settings_read on moonguard.alert_settings for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_settings_change on moonguard.alert_settings for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy alert_setting_changes_read on moonguard.alert_setting_changes for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));

-- The workflow.

create function moonguard.refuse_alert(p_rule text, p_message text, p_hint text) returns void
language plpgsql set search_path = '' as $$
begin
  raise exception using
    errcode = 'check_violation', constraint = 'moonpay_compliance_alerts_' || p_rule, message = p_message, hint = p_hint;
end
$$;

-- Whoever comes with a verified identity acts as himself; a program may name a person in the row.
create function moonguard.is_signed_in() returns boolean
language plpgsql stable set search_path = '' as $$
declare
  v_claims jsonb := moonguard.claims();
begin
  return v_claims ? 'sub' or coalesce(v_claims -> 'app_metadata' ? 'moonpay_role', false);
end
$$;
create function moonguard.alert_person(p_named text, p_before text) returns text
language sql stable set search_path = '' as $$
  select case when moonguard.is_signed_in() or p_named is not distinct from p_before then moonguard.current_actor()
    else coalesce(nullif(trim(p_named), ''), moonguard.current_actor()) end
$$;

create function moonguard.require_decision(p_alert public.moonpay_compliance_alerts) returns void
language plpgsql set search_path = '' as $$
begin
  if p_alert.status in ('resolved', 'dismissed')
      and (coalesce(p_alert.resolved_by, '') = '' or coalesce(p_alert.resolution_notes, '') !~ '\S') then
    perform moonguard.refuse_alert('resolution', format('to make an alert %s notes and a person are needed', p_alert.status),
      'Set resolution_notes and resolved_by.');
  end if;
end
$$;

-- Two persons for a decision on an alert that ever was severe: one proposed it, another one decides.
create function moonguard.require_second_person(p_old public.moonpay_compliance_alerts, p_new public.moonpay_compliance_alerts) returns void
language plpgsql set search_path = '' as $$
declare
  v_settings moonguard.alert_settings%rowtype;
begin
  select * into strict v_settings from moonguard.alert_settings;
  if not v_settings.four_eyes or p_new.peak_severity <> all (v_settings.four_eyes_severities)
      -- Two persons decided the alert that it is worked on with, which is as severe.
      or p_old.merged_into is not null then
    return;
  end if;
  if p_old.proposed_status is distinct from p_new.status then
    perform moonguard.refuse_alert('second_person', format('two persons decide that an alert of %s severity is %s', p_new.peak_severity, p_new.status),
      'Somebody proposes it first (proposed_status, proposed_notes), another person decides.');
  elsif lower(trim(p_old.proposed_by)) = lower(trim(p_new.resolved_by)) or p_new.resolved_by = 'system' then
    perform moonguard.refuse_alert('second_person', format('%s proposed that the alert is %s', p_old.proposed_by, p_new.status), 'Another person decides.');
  elsif moonguard.is_signed_in() and not moonguard.has_role('admin', 'compliance_officer') then
    perform moonguard.refuse_alert('second_person', format('%s proposed that the alert is %s', p_old.proposed_by, p_new.status), 'An officer decides.');
  end if;
end
$$;

-- A merged alert does not move by itself: the one that it is worked on with is written first, then this one follows.
create function moonguard.require_lead(p_old public.moonpay_compliance_alerts, p_new public.moonpay_compliance_alerts) returns void
language plpgsql set search_path = '' as $$
declare
  v_lead record;
begin
  select alert_id, status, proposed_status into v_lead from public.moonpay_compliance_alerts where id = p_old.merged_into;
  if found and (p_new.status not in (p_old.status, v_lead.status) or (p_new.proposed_status is distinct from p_old.proposed_status
      and p_new.proposed_status is distinct from v_lead.proposed_status)) then
    perform moonguard.refuse_alert('merged', format('the alert is worked on with %s', v_lead.alert_id), 'Move that one.');
  end if;
end
$$;

create function moonguard.move_alert(p_old public.moonpay_compliance_alerts, p_new public.moonpay_compliance_alerts)
returns public.moonpay_compliance_alerts
language plpgsql set search_path = '' as $$
declare
  v_is_decision boolean := p_new.status in ('resolved', 'dismissed');
  v_person text := case when v_is_decision then moonguard.alert_person(p_new.resolved_by, p_old.resolved_by)
    when p_new.status = 'in_review' then moonguard.alert_person(p_new.reviewed_by, p_old.reviewed_by) else moonguard.current_actor() end;
  v_needs text;
  v_other text;
begin
  if coalesce(trim(v_person), '') = '' then
    perform moonguard.refuse_alert('actor', 'nobody moves an alert: say who acts', 'Set moonguard.actor, or sign in.');
  end if;
  select needs into v_needs from moonguard.alert_moves where from_status = p_old.status and to_status = p_new.status;
  -- A status from before Moonguard that the workflow does not know may be corrected to any that it knows.
  if not found and exists (select from moonguard.alert_moves where from_status = p_old.status) then
    perform moonguard.refuse_alert('workflow', format('an alert that is %s cannot become %s', p_old.status, p_new.status), format('Allowed from %s: %s.',
      p_old.status, (select string_agg(to_status, ', ' order by to_status) from moonguard.alert_moves where from_status = p_old.status)));
  end if;
  -- The reason belongs to one move; the last one's does not serve the next.
  if p_new.status_reason is not distinct from p_old.status_reason then
    p_new.status_reason := null;
  end if;
  if v_needs = 'reason' and coalesce(p_new.status_reason, '') !~ '\S' then
    perform moonguard.refuse_alert('reason', format('to reopen a %s alert a reason is needed', p_old.status), 'Set status_reason.');
  end if;

  p_new.proposed_status := case when p_new.status = p_old.proposed_status then p_old.proposed_status end;
  p_new.proposed_notes := p_old.proposed_notes;
  if v_is_decision then
    p_new.resolved_by := v_person;
    p_new.resolved_at := p_new.updated_at;
    if p_new.proposed_status is not null and coalesce(p_new.resolution_notes, '') !~ '\S' then
      p_new.resolution_notes := p_old.proposed_notes;
    end if;
    perform moonguard.require_decision(p_new);
    perform moonguard.require_second_person(p_old, p_new);
  else
    select null, null, null into p_new.resolved_by, p_new.resolution_notes, p_new.resolved_at;
    -- Work to do is never out of the daily lists.
    if p_old.archived_at is not null then
      p_new.archived_at := null;
      p_new.metadata := p_new.metadata - 'archived';
    end if;
    select alert_id into v_other from public.moonpay_compliance_alerts
    where p_old.status in ('resolved', 'dismissed') and dedupe_key = p_new.dedupe_key and status in ('open', 'in_review', 'escalated') and id <> p_new.id;
    if found then
      perform moonguard.refuse_alert('duplicate', format('%s with the same dedupe_key is under work', v_other), 'Work on that one.');
    end if;
  end if;

  if p_new.status = 'in_review' then
    p_new.reviewed_by := v_person;
    p_new.reviewed_at := p_new.updated_at;
  elsif p_new.status = 'escalated' then
    p_new.escalated_at := p_new.updated_at;
  end if;
  if v_is_decision or p_new.status = 'in_review' then
    p_new.first_reviewed_at := coalesce(p_old.first_reviewed_at, p_new.updated_at);
  end if;
  return p_new;
end
$$;

-- A change that is no move: a proposal, or anything else.
create function moonguard.edit_alert(p_old public.moonpay_compliance_alerts, p_new public.moonpay_compliance_alerts)
returns public.moonpay_compliance_alerts
language plpgsql set search_path = '' as $$
declare
  v_is_proposal boolean := (p_new.proposed_status, p_new.proposed_notes) is distinct from (p_old.proposed_status, p_old.proposed_notes)
    and p_new.proposed_status is not null;
begin
  if v_is_proposal and coalesce(moonguard.current_actor(), 'system') = 'system' then
    perform moonguard.refuse_alert('actor', 'nobody proposes a decision: say who acts', 'Set moonguard.actor, or sign in.');
  end if;
  if p_new.status in ('resolved', 'dismissed') then
    -- What was decided stands until the alert is reopened; what a row from before Moonguard lacks may be filled in.
    if (p_old.resolved_by <> '' and p_new.resolved_by is distinct from p_old.resolved_by)
        or (p_old.resolution_notes <> '' and p_new.resolution_notes is distinct from p_old.resolution_notes) then
      perform moonguard.refuse_alert('decision', format('the notes and the person of an alert that is %s cannot change', p_old.status),
        'Reopen the alert and decide it again.');
    elsif v_is_proposal then
      perform moonguard.refuse_alert('workflow', format('an alert that is %s cannot become %s', p_old.status, p_new.proposed_status),
        format('Allowed from %s: open.', p_old.status));
    end if;
    p_new.resolved_at := coalesce(p_old.resolved_at, p_new.resolved_at);
    p_new.proposed_status := p_old.proposed_status;
    p_new.proposed_notes := p_old.proposed_notes;
    return p_new;
  end if;

  p_new.resolved_by := p_old.resolved_by;
  p_new.resolved_at := p_old.resolved_at;
  if v_is_proposal then
    if coalesce(p_new.proposed_notes, '') !~ '\S' then
      perform moonguard.refuse_alert('resolution', format('to propose that an alert is %s notes are needed', p_new.proposed_status), 'Set proposed_notes.');
    end if;
    p_new.proposed_by := moonguard.current_actor();
    p_new.proposed_at := p_new.updated_at;
  elsif p_new.occurrence_count > p_old.occurrence_count or p_new.severity is distinct from p_old.severity then
    -- Proposed on other facts.
    p_new.proposed_status := null;
  end if;
  return p_new;
end
$$;

create function moonguard.begin_alert() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if moonguard.is_signed_in() and new.status <> 'open' and new.suppression_id is null then
    perform moonguard.refuse_alert('workflow', 'a new alert is open', 'Raise it first, then move it.');
  end if;
  -- A program may bring history: alerts that were worked on elsewhere.
  if new.status in ('resolved', 'dismissed') then
    new.resolved_by := coalesce(nullif(new.resolved_by, ''), moonguard.current_actor());
    new.resolved_at := coalesce(new.resolved_at, now());
    if new.suppression_id is null then
      new.first_reviewed_at := coalesce(new.first_reviewed_at, new.resolved_at);
    end if;
    perform moonguard.require_decision(new);
  else
    new.resolved_by := null;
    new.resolution_notes := null;
    new.resolved_at := null;
  end if;
  if new.status = 'in_review' then
    new.reviewed_by := coalesce(nullif(new.reviewed_by, ''), moonguard.current_actor());
    new.reviewed_at := coalesce(new.reviewed_at, now());
    new.first_reviewed_at := coalesce(new.first_reviewed_at, new.reviewed_at);
  elsif new.status = 'escalated' then
    new.escalated_at := coalesce(new.escalated_at, now());
  end if;
  new.version := 1;
  new.peak_severity := new.severity;
  new.proposed_status := null;
  new.proposed_by := null;
  new.proposed_at := null;
  new.proposed_notes := null;
  return new;
end
$$;

-- What follows from other columns is what it makes of them, whoever writes: the service role may write every column.
create function moonguard.change_alert() returns trigger
language plpgsql security definer set search_path = '' as $$
declare
  -- What correlation and schedule note is no step of the case: nobody's version goes stale by it.
  v_noted public.moonpay_compliance_alerts := old;
begin
  v_noted.related_alerts := new.related_alerts;
  v_noted.group_id := new.group_id;
  v_noted.queue := new.queue;
  v_noted.deadline_step := new.deadline_step;
  v_noted.next_step_at := new.next_step_at;
  if v_noted *= new then
    return new;
  end if;

  if new.version <> old.version then
    perform moonguard.refuse_alert('version', format('the alert has version %s by now, not %s', old.version, new.version),
      'Read it again, then repeat the change on what it says now.');
  end if;
  if old.merged_into is not null then
    perform moonguard.require_lead(old, new);
  end if;

  new.updated_at := old.updated_at;
  new.peak_severity := moonguard.worse_severity(coalesce(old.peak_severity, old.severity), new.severity);
  new.reviewed_at := old.reviewed_at;
  new.escalated_at := old.escalated_at;
  new.first_reviewed_at := old.first_reviewed_at;
  new.proposed_by := old.proposed_by;
  new.proposed_at := old.proposed_at;
  if new.deadline_step <> 'breached' then
    new.breached_at := old.breached_at;
  end if;
  -- What it wrote besides is as it was again.
  if v_noted *= new then
    return new;
  end if;

  new.version := old.version + 1;
  -- Not now(): a transaction that began earlier may write later, and the times of the steps would run backwards.
  new.updated_at := greatest(clock_timestamp(), old.updated_at);
  if new.status <> old.status then
    new := moonguard.move_alert(old, new);
  else
    new := moonguard.edit_alert(old, new);
  end if;
  if new.proposed_status is null then
    select null, null, null into new.proposed_by, new.proposed_at, new.proposed_notes;
  end if;
  return new;
end
$$;

-- Triggers run in the order of their names: intake and risk before it, deadline, queue and assignee after it.
create trigger alert_before_3_begin before insert on public.moonpay_compliance_alerts
  for each row execute function moonguard.begin_alert();
create trigger alert_before_3_change before update on public.moonpay_compliance_alerts
  for each row execute function moonguard.change_alert();

-- Access.

revoke all on function moonguard.refuse_alert(text, text, text), moonguard.is_signed_in(), moonguard.alert_person(text, text), moonguard.require_decision(public.moonpay_compliance_alerts),
  moonguard.require_second_person(public.moonpay_compliance_alerts, public.moonpay_compliance_alerts),
  moonguard.require_lead(public.moonpay_compliance_alerts, public.moonpay_compliance_alerts),
  moonguard.move_alert(public.moonpay_compliance_alerts, public.moonpay_compliance_alerts),
  moonguard.edit_alert(public.moonpay_compliance_alerts, public.moonpay_compliance_alerts), moonguard.begin_alert(), moonguard.change_alert() from public, anon, authenticated, service_role;
grant insert (alert_id, action, reason, mentions, attachment) on moonguard.alert_timeline to authenticated, service_role;
-- By the checks of what they write.
grant execute on function moonguard.is_attachment(jsonb) to authenticated, service_role;
create policy alert_timeline_add on moonguard.alert_timeline for insert to authenticated
  with check (action in ('commented', 'attached') and exists (
    select from public.moonpay_compliance_alerts a
    where a.id = alert_timeline.alert_id and ((select moonguard.has_role('admin', 'compliance_officer'))
      or ((select moonguard.has_role('compliance_analyst')) and (a.assigned_to is null or a.assigned_to = (select moonguard.current_actor()))))));

-- What follows from other columns nobody writes who signs in. Further columns of an adopted table stay his.
do $columns$
declare
  v_follows text := 'occurrence_count created_at updated_at reviewed_by reviewed_at resolved_at escalated_at first_reviewed_at archived_at peak_severity
    proposed_by proposed_at group_id merged_into suppression_id queue deadline_step next_step_at breached_at';
  v_identity text := 'id alert_id alert_type customer_id transaction_id entity_type entity_id auto_generated source triggered_at dedupe_key wallet_address
    correlation_id fingerprint';
  v_insert text;
  v_update text;
begin
  select string_agg(quote_ident(attname), ', ') filter (where attname <> all (regexp_split_to_array(v_follows || ' version proposed_status proposed_notes', '\s+'))),
    string_agg(quote_ident(attname), ', ') filter (where attname <> all (regexp_split_to_array(v_follows || ' ' || v_identity, '\s+')))
  into v_insert, v_update
  from pg_catalog.pg_attribute
  where attrelid = 'public.moonpay_compliance_alerts'::regclass and attnum > 0 and not attisdropped;
  revoke insert, update on public.moonpay_compliance_alerts from authenticated;
  execute format('grant insert (%s), update (%s) on public.moonpay_compliance_alerts to authenticated', v_insert, v_update);

  -- Unless it is something of the user's that has its name.
  if exists (select from pg_catalog.pg_class where oid = to_regclass('public.moonpay_alert_timeline') and relkind = 'v'
      and pg_catalog.pg_get_viewdef(oid) like '%moonguard.alert_timeline%') then
    grant insert (alert_id, action, reason, mentions, attachment) on public.moonpay_alert_timeline to authenticated, service_role;
  end if;
end
$columns$;
