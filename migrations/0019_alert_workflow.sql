-- Why: the case workflow for every client: who moves an alert, two persons where it matters, a complete history; its settings.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_compliance_alerts, for the time of a catalogue change.
-- Older program: goes on; a move without a person is refused.

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
create trigger alert_settings_stay before delete or truncate on moonguard.alert_settings
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
  v_after jsonb := to_jsonb(new) - '{updated_at,updated_by}'::text[];
begin
  if v_before <> v_after then
    insert into moonguard.alert_setting_changes (actor, before, after)
    select new.updated_by, jsonb_object_agg(key, v_before -> key), jsonb_object_agg(key, value)
    from jsonb_each(v_after) where value <> v_before -> key;
  end if;
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
