-- Why: the three functions of the manual: cleanup of the policy log, archive of alerts, webhook statistics.
-- Locks: none on tables that exist.
-- Older program: functions of an earlier version with the same names are replaced; they return the same or more.

create table moonguard.legal_holds (
  id uuid primary key default moonguard.uuid_v7(),
  reason text not null,
  customer_id text,
  transaction_id text,
  policy_id text,
  correlation_id text,
  executed_from timestamptz,
  executed_to timestamptz,
  set_by text not null default coalesce(moonguard.current_actor(), session_user),
  set_at timestamptz not null default now(),
  lifted_by text,
  lifted_at timestamptz,
  lifted_reason text,
  constraint legal_holds_scope_check check (num_nonnulls(customer_id, transaction_id, policy_id, correlation_id, executed_from, executed_to) > 0),
  constraint legal_holds_reason_check check (btrim(reason) <> ''),
  constraint legal_holds_time_check check (executed_from <= executed_to),
  constraint legal_holds_lifted_check check (num_nonnulls(lifted_at, lifted_by, lifted_reason) in (0, 3))
);
comment on table moonguard.legal_holds is 'Rows of the policy log that match every given column of a hold that is not lifted are not removed.';

create table moonguard.retention_runs (
  id uuid primary key default moonguard.uuid_v7(),
  ran_at timestamptz not null default now(),
  task text not null,
  ran_by text not null default coalesce(moonguard.current_actor(), session_user),
  removed_count bigint not null,
  oldest timestamptz,
  newest timestamptz,
  ids_digest text,
  run_id uuid,
  constraint retention_runs_run_task_key unique (run_id, task)
);
comment on table moonguard.retention_runs is 'What was removed or archived, when, and by whom.';
comment on column moonguard.retention_runs.run_id is 'Of a run in batches: each of its tasks has one row, which every batch brings up to date.';
comment on column moonguard.retention_runs.ids_digest is 'SHA-256 over the ids, sorted, joined by commas.';

do $earlier$
declare
  v_function record;
begin
  for v_function in
    select p.proname, p.oid::regprocedure as signature from pg_catalog.pg_proc p
    where p.pronamespace = 'public'::regnamespace
      and p.proname in ('cleanup_old_moonpay_policy_logs', 'archive_old_moonpay_compliance_alerts', 'get_moonpay_webhook_stats')
  loop
    begin
      execute format('drop routine %s', v_function.signature);
    exception when dependent_objects_still_exist then
      execute format('alter routine %s rename to %I', v_function.signature, v_function.proname || '_before_moonguard');
      perform moonguard.report_finding(v_function.proname, null, 'something uses the function of an earlier version: ' || sqlerrm,
        format('left: it goes on as %s_before_moonguard', v_function.proname));
    end;
  end loop;
end
$earlier$;

create function public.cleanup_old_moonpay_policy_logs(p_now timestamptz default now()) returns bigint
language plpgsql security definer set search_path = '' as $$
begin
  -- Made by the migration of retention, after that of the tree in which rows are proven.
  return moonguard.clean_up_policy_logs(p_now);
end
$$;
comment on function public.cleanup_old_moonpay_policy_logs(timestamptz) is
  'Removes policy log rows past their retention that no legal hold and no open follow-up keeps; returns how many.';

create function public.archive_old_moonpay_compliance_alerts(p_now timestamptz default now()) returns bigint
language plpgsql security definer set search_path = '' as $$
declare
  v_alert record;
  v_archived bigint := 0;
begin
  for v_alert in
    select id from public.moonpay_compliance_alerts
    where status in ('resolved', 'dismissed') and archived_at is null
      and coalesce(resolved_at, updated_at) < p_now - interval '1 year'
    for update skip locked
  loop
    begin
      update public.moonpay_compliance_alerts
      set archived_at = p_now, metadata = metadata || '{"archived": true}' where id = v_alert.id;
      v_archived := v_archived + 1;
    exception when check_violation then
      -- A row from before Moonguard that breaks a rule stays in the lists until somebody corrects it.
      null;
    end;
  end loop;
  if v_archived > 0 then
    insert into moonguard.retention_runs (task, removed_count) values ('archive_old_moonpay_compliance_alerts', v_archived);
  end if;
  return v_archived;
end
$$;
comment on function public.archive_old_moonpay_compliance_alerts(timestamptz) is
  'Archives alerts that were resolved or dismissed over a year ago; returns how many. They stay readable.';

create function public.get_moonpay_webhook_stats()
returns table (
  total_webhooks bigint, active_webhooks bigint, failed_webhooks bigint, avg_success_rate numeric,
  inactive_webhooks bigint, suspended_webhooks bigint,
  total_attempts bigint, successful_attempts bigint, failed_attempts bigint,
  pending_deliveries bigint, held_deliveries bigint, exhausted_deliveries bigint, last_delivery_attempt timestamptz
)
language sql stable security invoker set search_path = '' as $$
  select count(*),
    count(*) filter (where c.status = 'active'),
    count(*) filter (where c.status = 'failed'),
    round(avg(100.0 * c.successful_deliveries_count / nullif(c.delivery_attempts_count, 0)), 2),
    count(*) filter (where c.status = 'inactive'),
    count(*) filter (where c.status = 'suspended'),
    coalesce(sum(c.delivery_attempts_count), 0)::bigint,
    coalesce(sum(c.successful_deliveries_count), 0)::bigint,
    coalesce(sum(c.failed_deliveries_count), 0)::bigint,
    coalesce(sum((select count(*) from moonguard.deliveries d where d.endpoint_id = c.id and d.status = 'pending')), 0)::bigint,
    coalesce(sum((select count(*) from moonguard.deliveries d where d.endpoint_id = c.id and d.status = 'held')), 0)::bigint,
    coalesce(sum((select count(*) from moonguard.deliveries d where d.endpoint_id = c.id and d.status = 'exhausted')), 0)::bigint,
    max(c.last_delivery_attempt)
  from public.moonpay_webhook_config c
  where c.deleted_at is null
$$;
comment on function public.get_moonpay_webhook_stats() is
  'One row, about endpoints that are not deleted: how many by status; the mean of their success rates in percent (null when none was tried) and their attempts, over their whole life, whatever retention has removed; the deliveries that are pending, held or exhausted now.';
