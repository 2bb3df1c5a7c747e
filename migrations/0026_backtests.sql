-- Why: backtests: what a version of a policy would have said on the events of the past, as a job that outlives every process.
-- Locks: none on existing tables.
-- Older program: runs on; it works on none.

create table moonguard.backtests (
  id uuid primary key,
  policy_id text not null,
  version integer not null,
  compared_version integer,
  environment text,
  since timestamptz,
  until timestamptz,
  status text not null default 'running',
  total_count bigint not null,
  evaluated_count bigint not null default 0,
  skipped_count bigint not null default 0,
  after_event_id uuid,
  last_event_id uuid,
  report jsonb not null,
  failure text,
  created_by text not null,
  created_at timestamptz not null default now(),
  finished_at timestamptz,
  cancelled_by text,
  constraint backtests_environment_check check (environment in ('sandbox', 'production')),
  constraint backtests_status_check check (status in ('running', 'completed', 'cancelled', 'failed')),
  constraint backtests_finished_check check ((status = 'running') = (finished_at is null) and (status = 'cancelled') = (cancelled_by is not null)
    and (status = 'failed') = (failure is not null)),
  constraint backtests_place_check check ((total_count > 0) = (after_event_id is not null) and (total_count > 0) = (last_event_id is not null))
);
create index backtests_running_idx on moonguard.backtests (id) where status = 'running';

comment on table moonguard.backtests is 'Versions of policies evaluated over stored events, and what came of it. Nothing else is written by them.';
comment on column moonguard.backtests.id is 'UUIDv7.';
comment on column moonguard.backtests.policy_id is 'The policy; its versions are in moonguard.policy_versions.';
comment on column moonguard.backtests.version is 'The version that is tried.';
comment on column moonguard.backtests.compared_version is 'The version it is compared with; null: with having no such policy.';
comment on column moonguard.backtests.environment is 'Only events of it; null: of both.';
comment on column moonguard.backtests.since is 'Only events received at this time or later.';
comment on column moonguard.backtests.until is 'Only events received before this time. Those received after the backtest began are never part of it.';
comment on column moonguard.backtests.status is 'running, completed, cancelled, failed.';
comment on column moonguard.backtests.total_count is 'Events it was about when it began.';
comment on column moonguard.backtests.evaluated_count is 'Events that are done with.';
comment on column moonguard.backtests.skipped_count is 'Events whose body retention has removed.';
comment on column moonguard.backtests.after_event_id is 'Everything up to this event is in the report. Moves in the transaction that writes the report: killed at any moment, each event is counted once.';
comment on column moonguard.backtests.last_event_id is 'Where it ends.';
comment on column moonguard.backtests.report is 'Outcomes, hits and errors by rule, differences with examples: of the events up to after_event_id.';
comment on column moonguard.backtests.failure is 'Why it could not go on.';
comment on column moonguard.backtests.created_by is 'Who asked for it.';
comment on column moonguard.backtests.created_at is 'When it began.';
comment on column moonguard.backtests.finished_at is 'When it was completed or cancelled, or failed.';
comment on column moonguard.backtests.cancelled_by is 'Who cancelled it.';

alter table moonguard.backtests enable row level security;
revoke all on moonguard.backtests from public, anon, authenticated, service_role;
grant select on moonguard.backtests to authenticated, service_role;
create policy backtests_read on moonguard.backtests for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
select moonguard.add_view('moonpay_policy_backtests', 'Backtests of policies, for those who may see policies.',
  $$select id, policy_id, version, compared_version, environment, since, until, status, total_count, evaluated_count, skipped_count, report,
    failure, created_by, created_at, finished_at, cancelled_by
  from moonguard.backtests$$);
select moonguard.comment_view('moonpay_policy_backtests', 'moonguard.backtests');
