-- Why: a Merkle tree over the policy log and the histories of alerts and endpoints, with which anybody can check that rows were
--   neither changed nor removed.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_policy_logs for the time of its triggers and of noting the rows that are there.
-- Older program: runs on; its rows are noted like all others.

create table moonguard.audit_log (
  is_only boolean primary key default true,
  verifier_key text,
  tree_size bigint not null default 0,
  root bytea not null default sha256(''),
  checkpoint text,
  signed_at timestamptz,
  leader uuid,
  leader_until timestamptz,
  constraint audit_log_is_only_check check (is_only),
  constraint audit_log_signed_check check ((tree_size = 0) = (checkpoint is null) and (checkpoint is null) = (signed_at is null)
    and (checkpoint is null or verifier_key is not null)),
  constraint audit_log_leader_check check ((leader is null) = (leader_until is null))
);
insert into moonguard.audit_log default values;
comment on table moonguard.audit_log is 'The tree over what is logged as it was last signed: one row, which is compared and swapped.';
comment on column moonguard.audit_log.verifier_key is 'What signatures are checked with now; the key that signs is in no database.';
comment on column moonguard.audit_log.checkpoint is 'Signed note of origin, size and root.';
comment on column moonguard.audit_log.leader is 'The process that sequences; another one may when leader_until has passed.';

create table moonguard.audit_keys (
  verifier_key text primary key,
  since timestamptz not null default now(),
  retired_at timestamptz,
  handover text
);
create unique index audit_keys_current_key on moonguard.audit_keys ((true)) where retired_at is null;
comment on table moonguard.audit_keys is 'What the log is, and was, verified with.';
comment on column moonguard.audit_keys.handover is 'The checkpoint that this key and the one before it have both signed.';

create table moonguard.audit_checkpoints (
  minute timestamptz primary key,
  tree_size bigint not null,
  checkpoint text not null
);
comment on table moonguard.audit_checkpoints is 'The last signed checkpoint of each minute.';

create table moonguard.audit_queue (
  id bigint generated always as identity primary key,
  kind text not null,
  row_id uuid not null,
  executed_at timestamptz not null,
  queued_at timestamptz not null default clock_timestamp()
) with (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
comment on table moonguard.audit_queue is 'Logged rows that are not in the tree yet. In the order of id, which is not that of commits: what is here is taken, never what is greater than the last.';

create table moonguard.audit_leaves (
  leaf_index bigint primary key,
  kind text not null,
  row_id uuid not null,
  executed_at timestamptz not null,
  salts bytea not null,
  constraint audit_leaves_leaf_index_check check (leaf_index >= 0),
  constraint audit_leaves_kind_check check (kind in ('policy_log', 'alert_timeline', 'endpoint_change')),
  constraint audit_leaves_salts_check check (octet_length(salts) > 0 and octet_length(salts) % 16 = 0)
);
create index audit_leaves_row_id_idx on moonguard.audit_leaves (row_id);
-- Leaves of a month, for the archive: they lie beside each other.
create index audit_leaves_executed_at_idx on moonguard.audit_leaves using brin (executed_at);
comment on table moonguard.audit_leaves is 'Which row each leaf of the tree is. Goes with its row: without the salts, nobody can try what was in it.';
comment on column moonguard.audit_leaves.kind is 'Which table the row is of: moonpay_policy_logs, moonguard.alert_timeline or moonguard.endpoint_changes.';
comment on column moonguard.audit_leaves.salts is '16 bytes for each group of columns, in the order of src/audit/entryKinds.ts.';

create table moonguard.audit_tiles (
  level integer not null,
  tile_index bigint not null,
  hashes bytea not null,
  primary key (level, tile_index),
  constraint audit_tiles_level_check check (level between 0 and 7),
  constraint audit_tiles_hashes_check check (octet_length(hashes) between 32 and 8192 and octet_length(hashes) % 32 = 0)
);
-- Hashes do not compress.
alter table moonguard.audit_tiles alter column hashes set storage external;
comment on table moonguard.audit_tiles is 'The tree, 256 hashes a piece (c2sp.org/tlog-tiles). The last of a level grows until it is full.';

create table moonguard.audit_removals (
  id uuid primary key default moonguard.uuid_v7(),
  removed_at timestamptz not null default now(),
  leaf_indexes int8multirange not null,
  record_id uuid not null
);
create index audit_removals_record_id_idx on moonguard.audit_removals (record_id);
comment on table moonguard.audit_removals is 'Leaves whose rows retention has removed, with their salts. The hashes stay, and so does every proof.';
comment on column moonguard.audit_removals.record_id is 'The row of the policy log that says so.';

create table moonguard.audit_witnesses (
  verifier_key text primary key,
  tree_size bigint not null default 0,
  checkpoint text,
  cosignatures text,
  cosigned_at timestamptz,
  failures_count integer not null default 0,
  failure_reason text,
  next_at timestamptz not null,
  constraint audit_witnesses_cosigned_check check ((checkpoint is null) = (cosignatures is null) and (checkpoint is null) = (cosigned_at is null))
);
comment on table moonguard.audit_witnesses is 'What others who watch the log have cosigned last.';
comment on column moonguard.audit_witnesses.failures_count is 'Since it last cosigned.';
comment on column moonguard.audit_witnesses.next_at is 'Not asked before this. Who asks moves it on, so that nobody else does meanwhile.';

create function moonguard.queue_policy_logs() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.audit_queue (kind, row_id, executed_at) select 'policy_log', id, executed_at from inserted;
  return null;
end
$$;
create trigger queue_policy_logs after insert on public.moonpay_policy_logs
  referencing new table as inserted for each statement execute function moonguard.queue_policy_logs();

create function moonguard.queue_history() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.audit_queue (kind, row_id, executed_at) select tg_argv[0], id, at from inserted;
  return null;
end
$$;
create trigger queue_history after insert on moonguard.alert_timeline
  referencing new table as inserted for each statement execute function moonguard.queue_history('alert_timeline');
create trigger queue_history after insert on moonguard.endpoint_changes
  referencing new table as inserted for each statement execute function moonguard.queue_history('endpoint_change');

insert into moonguard.audit_queue (kind, row_id, executed_at) select 'policy_log', id, executed_at from public.moonpay_policy_logs order by executed_at, id;
insert into moonguard.audit_queue (kind, row_id, executed_at) select 'alert_timeline', id, at from moonguard.alert_timeline order by entry_number;
insert into moonguard.audit_queue (kind, row_id, executed_at) select 'endpoint_change', id, at from moonguard.endpoint_changes order by entry_number;

-- Nobody but the owner writes or reads these: the services do, and say what may be known.
revoke all on moonguard.audit_log, moonguard.audit_keys, moonguard.audit_checkpoints, moonguard.audit_queue, moonguard.audit_leaves, moonguard.audit_tiles,
  moonguard.audit_removals, moonguard.audit_witnesses from public, anon, authenticated, service_role;
revoke all on sequence moonguard.audit_queue_id_seq from public, anon, authenticated, service_role;
revoke all on function moonguard.queue_policy_logs(), moonguard.queue_history() from public, anon, authenticated, service_role;
do $owner_only$
declare
  v_table text;
begin
  foreach v_table in array array['audit_log', 'audit_keys', 'audit_checkpoints', 'audit_queue', 'audit_leaves', 'audit_tiles', 'audit_removals',
      'audit_witnesses'] loop
    execute format('alter table moonguard.%I enable row level security', v_table);
    execute format('create policy owner_only on moonguard.%I using (false)', v_table);
  end loop;
end
$owner_only$;
