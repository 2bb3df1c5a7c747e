-- Why: what of the policy log stands in files outside of the database, and whether those were read back and compared.
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

create function moonguard.is_archived(p_retention_class text, p_executed_at timestamptz, p_leaf_index bigint) returns boolean
language sql stable set search_path = '' as $$
  select exists (
    select from moonguard.archives a
    where a.state = 'verified' and a.retention_class = p_retention_class
      and a.month = date_trunc('month', p_executed_at at time zone 'UTC')::date
      and p_leaf_index >= a.from_leaf and p_leaf_index < a.to_leaf)
$$;
comment on function moonguard.is_archived(text, timestamptz, bigint) is
  'Whether a row of the policy log, by its class, time and leaf, stands in an archive that was read back and compared.';

revoke all on moonguard.archives from public, anon, authenticated, service_role;
revoke all on function moonguard.is_archived(text, timestamptz, bigint) from public, anon, authenticated, service_role;
alter table moonguard.archives enable row level security;
create policy owner_only on moonguard.archives using (false);
