-- Why: what of the policy log stands in files outside of the database, and whether those were read back and compared;
--   where it is wanted, nothing is removed before.
-- Locks: none on tables that exist.
-- Older program: runs on; it does not archive.

create table moonguard.archives (
  id uuid primary key default moonguard.uuid_v7(),
  retention_class text not null,
  month date not null,
  part integer not null,
  from_leaf bigint not null,
  to_leaf bigint not null,
  state text not null default 'planned',
  is_encrypted boolean not null,
  sealed_key bytea,
  sealed_key_id text,
  target text,
  manifest text,
  row_count bigint,
  bytes bigint,
  retain_until timestamptz,
  planned_at timestamptz not null default now(),
  written_at timestamptz,
  verified_at timestamptz,
  key_erased_at timestamptz,
  key_erased_by text,
  claimed_by uuid,
  claimed_until timestamptz,
  constraint archives_part_key unique (retention_class, month, part),
  constraint archives_month_check check (extract(day from month) = 1),
  constraint archives_leaves_check check (from_leaf >= 0 and from_leaf < to_leaf),
  constraint archives_state_check check (state in ('planned', 'written', 'verified')),
  constraint archives_written_check check ((state = 'planned') = (written_at is null)
    and (state = 'planned' or num_nulls(target, manifest, row_count, bytes) = 0)),
  constraint archives_verified_check check ((state = 'verified') = (verified_at is not null)),
  constraint archives_key_check check ((sealed_key is null) = (sealed_key_id is null)
    and (sealed_key is not null) = (is_encrypted and key_erased_at is null) and (key_erased_at is null) = (key_erased_by is null)),
  constraint archives_claimed_check check ((claimed_by is null) = (claimed_until is null))
);
comment on table moonguard.archives is 'Parts of the policy log in files: the rows of a class and a month whose leaves are from from_leaf up to before to_leaf.';
comment on column moonguard.archives.month is 'First day of the month (UTC) of executed_at.';
comment on column moonguard.archives.part is 'From 1 on; rows that came later than the first part of their month are in a further one.';
comment on column moonguard.archives.state is 'planned, written, verified: only what was read back and compared with the rows is verified.';
comment on column moonguard.archives.sealed_key is 'Key of the files, under the master key. Without it nobody can read them, wherever they are.';
comment on column moonguard.archives.target is 'Where the files are: a directory or s3://bucket/prefix.';
comment on column moonguard.archives.manifest is 'Name of the file that says what there is.';
comment on column moonguard.archives.retain_until is 'When the retention of the last of its rows ends.';
comment on column moonguard.archives.claimed_by is 'The run that writes it; another one may when claimed_until has passed.';

create table moonguard.archive_settings (
  is_only boolean primary key default true,
  before_removal boolean not null default false,
  constraint archive_settings_is_only_check check (is_only)
);
insert into moonguard.archive_settings default values;
comment on table moonguard.archive_settings is 'One row: whether rows of the log are archived before they are removed.';
comment on column moonguard.archive_settings.before_removal is 'Whether retention leaves rows of the log that stand in no verified archive.';

-- What else a row l of the log must fulfil to be removed: as text, so that it is planned into the query of due_policy_logs.
create function moonguard.what_allows_removal() returns text
language sql stable set search_path = '' as $$
  select case when before_removal then $condition$ exists (
    select from moonguard.audit_leaves a
    join moonguard.archives f on f.retention_class = l.retention_class
      and f.month = date_trunc('month', l.executed_at at time zone 'UTC')::date
      and a.leaf_index >= f.from_leaf and a.leaf_index < f.to_leaf and f.state = 'verified'
    where a.row_id = l.id and a.executed_at = l.executed_at)$condition$ else 'true' end
  from moonguard.archive_settings
$$;

create function moonguard.note_archive_settings() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  perform moonguard.write_retention_log(jsonb_build_object('policy_id', 'moonguard_retention', 'policy_name', 'Retention',
    'action_type', 'policy_updated', 'reason', 'Whether rows are archived before they are removed',
    'before_state', to_jsonb(old) - 'is_only', 'after_state', to_jsonb(new) - 'is_only'));
  return null;
end
$$;
create trigger archive_settings_history after update on moonguard.archive_settings
  for each row when (old.before_removal <> new.before_removal) execute function moonguard.note_archive_settings();

revoke all on moonguard.archives, moonguard.archive_settings from public, anon, authenticated, service_role;
revoke all on function moonguard.what_allows_removal(), moonguard.note_archive_settings() from public, anon, authenticated, service_role;
alter table moonguard.archives enable row level security;
create policy owner_only on moonguard.archives using (false);
alter table moonguard.archive_settings enable row level security;
create policy owner_only on moonguard.archive_settings using (false);
