-- Why: who may do what: Row Level Security, grants and revokes by name. Supabase grants new tables and functions in
--   public to everybody by its default privileges, and PostgreSQL grants EXECUTE on new functions to PUBLIC.
-- Locks: ACCESS EXCLUSIVE on each table, for the time of a catalogue change.
-- Older program: a program that connects as anon or authenticated without the claim app_metadata.moonpay_role sees nothing any more.

create function moonguard.names_confidential(p_events text[]) returns boolean
language sql immutable parallel safe set search_path = '' as $$
  select exists (select from unnest(p_events) as event where event like any ('{compliance.%,policy.%}'))
$$;
comment on function moonguard.names_confidential(text[]) is
  'Whether compliance or policy events are among the names: their existence alone may tell a customer that he is looked at.';

revoke all on schema moonguard, moonguard_partitions from public, anon, authenticated, service_role;
revoke all on all tables in schema moonguard, moonguard_partitions from public, anon, authenticated, service_role;
revoke all on all sequences in schema moonguard from public, anon, authenticated, service_role;
revoke all on all functions in schema moonguard from public, anon, authenticated, service_role;
revoke all on public.moonpay_webhook_config, public.moonpay_compliance_alerts, public.moonpay_policy_logs
  from public, anon, authenticated, service_role;
revoke all on function public.cleanup_old_moonpay_policy_logs(timestamptz), public.archive_old_moonpay_compliance_alerts(timestamptz),
  public.get_moonpay_webhook_stats() from public, anon, authenticated, service_role;

-- Policies, defaults, checks and triggers run with the rights of whoever writes.
grant usage on schema moonguard to authenticated, service_role;
grant execute on function moonguard.uuid_v7(), moonguard.claims(), moonguard.has_role(text[]), moonguard.current_actor(),
  moonguard.normalize_retry_policy(jsonb), moonguard.normalize_delivery_settings(jsonb, jsonb), moonguard.setting_number(jsonb, text),
  moonguard.retry_policy_is_valid(jsonb), moonguard.delivery_settings_are_valid(jsonb), moonguard.header_is_reserved(text),
  moonguard.endpoint_headers_are_valid(jsonb), moonguard.url_is_private(text), moonguard.names_confidential(text[])
  to authenticated, service_role;

grant select, insert, update on public.moonpay_webhook_config, public.moonpay_compliance_alerts to authenticated, service_role;
grant select on public.moonpay_policy_logs to authenticated;
grant select, insert on public.moonpay_policy_logs to service_role;
grant select, update (status, next_attempt_at, resend_from, resend_next_attempt_at, leased_until, lease_token) on moonguard.deliveries to authenticated;
grant select, insert, update on moonguard.deliveries to service_role;
grant select on moonguard.delivery_attempts, moonguard.alert_timeline, moonguard.alert_moves, moonguard.retention_runs to authenticated, service_role;
grant select, insert, update on moonguard.legal_holds to authenticated, service_role;
grant execute on function public.cleanup_old_moonpay_policy_logs(timestamptz), public.archive_old_moonpay_compliance_alerts(timestamptz),
  public.get_moonpay_webhook_stats() to service_role;

alter table public.moonpay_webhook_config enable row level security;
alter table public.moonpay_compliance_alerts enable row level security;
alter table public.moonpay_policy_logs enable row level security;
alter table moonguard.deliveries enable row level security;
alter table moonguard.delivery_attempts enable row level security;
alter table moonguard.alert_timeline enable row level security;
alter table moonguard.legal_holds enable row level security;
alter table moonguard.retention_runs enable row level security;

-- The owner is the program. Where the owner passes Row Level Security anyway (superuser, BYPASSRLS) forcing is safe, and
-- holds should the table ever be given to another owner; elsewhere it would shut the program out.
do $force$
begin
  if (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = current_user) then
    alter table public.moonpay_webhook_config force row level security;
    alter table public.moonpay_compliance_alerts force row level security;
    alter table public.moonpay_policy_logs force row level security;
  end if;
end
$force$;

-- Endpoints and deliveries. That a compliance event was delivered tells of an alert: to developers an endpoint that names such
-- events does not exist. The inner select is under the policy of its own table; it is made once for a statement.
create policy endpoints_read on public.moonpay_webhook_config for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('developer')) and not moonguard.names_confidential(events)));
create policy endpoints_create on public.moonpay_webhook_config for insert to authenticated
  with check ((select moonguard.has_role('admin')) or ((select moonguard.has_role('developer')) and not moonguard.names_confidential(events)));
create policy endpoints_change on public.moonpay_webhook_config for update to authenticated
  using ((select moonguard.has_role('admin')) or ((select moonguard.has_role('developer')) and not moonguard.names_confidential(events)))
  with check ((select moonguard.has_role('admin')) or ((select moonguard.has_role('developer')) and not moonguard.names_confidential(events)));
create policy deliveries_read on moonguard.deliveries for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)));
create policy deliveries_change on moonguard.deliveries for update to authenticated
  using ((select moonguard.has_role('admin'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)))
  with check ((select moonguard.has_role('admin'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)));
create policy attempts_read on moonguard.delivery_attempts for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('developer')) and endpoint_id in (select c.id from public.moonpay_webhook_config c)));

-- Alerts. An analyst works on what is his and on what is nobody's.
create policy alerts_read on public.moonpay_compliance_alerts for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alerts_create on public.moonpay_compliance_alerts for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer'))
    or ((select moonguard.has_role('compliance_analyst')) and (assigned_to is null or assigned_to = (select moonguard.current_actor()))));
create policy alerts_change on public.moonpay_compliance_alerts for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))
    or ((select moonguard.has_role('compliance_analyst')) and (assigned_to is null or assigned_to = (select moonguard.current_actor()))))
  with check ((select moonguard.has_role('admin', 'compliance_officer'))
    or ((select moonguard.has_role('compliance_analyst')) and (assigned_to is null or assigned_to = (select moonguard.current_actor()))));
create policy alert_timeline_read on moonguard.alert_timeline for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));

-- The policy log. An analyst reads what concerns the subjects of alerts. Looked up for each row, 15 µs: a list of a million
-- subjects does not fit into work_mem, and every row would be compared with all of it.
create policy policy_logs_read on public.moonpay_policy_logs for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor'))
    or ((select moonguard.has_role('compliance_analyst')) and (
      exists (select from public.moonpay_compliance_alerts a where a.customer_id = moonpay_policy_logs.customer_id)
      or exists (select from public.moonpay_compliance_alerts a where a.transaction_id = moonpay_policy_logs.transaction_id)
      or exists (select from public.moonpay_compliance_alerts a
        where a.entity_type = moonpay_policy_logs.entity_type and a.entity_id = moonpay_policy_logs.entity_id)
      or (entity_type = 'customer' and exists (select from public.moonpay_compliance_alerts a where a.customer_id = moonpay_policy_logs.entity_id))
      or (entity_type = 'transaction' and exists (select from public.moonpay_compliance_alerts a where a.transaction_id = moonpay_policy_logs.entity_id)))));

-- Legal holds and retention.
create policy legal_holds_read on moonguard.legal_holds for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor')));
create policy legal_holds_set on moonguard.legal_holds for insert to authenticated
  with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy legal_holds_lift on moonguard.legal_holds for update to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer'))) with check ((select moonguard.has_role('admin', 'compliance_officer')));
create policy retention_runs_read on moonguard.retention_runs for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'auditor')));

-- The four tables an installation may have had before. Where Row Level Security is off, a grant would open the table to
-- every signed-in user and switching it on could shut an application out: the owner decides. Callable again afterwards.
create function moonguard.protect_existing_tables() returns void
language plpgsql set search_path = '' as $$
declare
  v_rule record;
begin
  for v_rule in
    select * from (values
      -- Our own events about an endpoint (webhook.…) are seen by who sees the endpoint.
      ('moonpay_webhook_events', 'select', 'using ((select moonguard.has_role(''admin'', ''compliance_officer'', ''auditor''))
        or ((select moonguard.has_role(''developer'')) and coalesce(event_name, '''') not like all (''{compliance.%,policy.%}'')
          and (coalesce(event_name, '''') not like ''webhook.%''
            or event_data -> ''data'' ->> ''webhookId'' in (select c.webhook_id from public.moonpay_webhook_config c))))'),
      ('moonpay_transactions', 'select', 'using ((select moonguard.has_role(''admin'', ''compliance_officer'', ''compliance_analyst'', ''auditor'')))'),
      ('moonpay_customers', 'select', 'using ((select moonguard.has_role(''admin'', ''compliance_officer'', ''compliance_analyst'', ''auditor'')))'),
      ('moonpay_policies', 'select', 'using ((select moonguard.has_role(''admin'', ''compliance_officer'', ''compliance_analyst'', ''auditor'')))'),
      ('moonpay_policies', 'insert', 'with check ((select moonguard.has_role(''admin'', ''compliance_officer'')) or ((select moonguard.has_role(''compliance_analyst'')) and not is_active))'),
      ('moonpay_policies', 'update', 'using ((select moonguard.has_role(''admin'', ''compliance_officer''))) with check ((select moonguard.has_role(''admin'', ''compliance_officer'')))')
    ) as rule (table_name, command, expression)
    join pg_catalog.pg_class c on c.oid = to_regclass('public.' || rule.table_name)
  loop
    if not v_rule.relrowsecurity then
      perform moonguard.report_finding(v_rule.table_name, null, 'Row Level Security is off',
        format('action needed: alter table public.%I enable row level security; select moonguard.protect_existing_tables();', v_rule.table_name))
      where not exists (select from moonguard.installation_findings f where f.table_name = v_rule.table_name and f.reason = 'Row Level Security is off');
      continue;
    end if;
    execute format('grant select, insert, update on public.%I to service_role', v_rule.table_name);
    execute format('grant %s on public.%I to authenticated', v_rule.command, v_rule.table_name);
    if not exists (select from pg_catalog.pg_policy where polrelid = v_rule.oid and polname = 'moonguard_' || v_rule.command) then
      execute format('create policy moonguard_%s on public.%I for %s to authenticated %s', v_rule.command, v_rule.table_name, v_rule.command, v_rule.expression);
    end if;
  end loop;
end
$$;
revoke all on function moonguard.protect_existing_tables() from public, anon, authenticated, service_role;

-- What this installation made itself is protected from the start.
do $protect$
declare
  v_table text;
begin
  foreach v_table in array array['moonpay_webhook_events', 'moonpay_transactions', 'moonpay_customers', 'moonpay_policies'] loop
    if not exists (select from moonguard.adopted_tables where table_name = v_table) then
      execute format('alter table public.%I enable row level security', v_table);
      execute format('revoke all on public.%I from public, anon, authenticated, service_role', v_table);
    end if;
  end loop;
  perform moonguard.protect_existing_tables();
end
$protect$;

-- A view of the user's shows what its owner may see, whoever looks.
insert into moonguard.installation_findings (table_name, reason, resolution)
select distinct t.relname, format('the view %s shows the table past Row Level Security to anon or authenticated', v.oid::regclass),
  format('left: to let the policies decide: alter view %s set (security_invoker = true)', v.oid::regclass)
from pg_catalog.pg_class t
join pg_catalog.pg_depend d on d.refobjid = t.oid and d.refclassid = 'pg_catalog.pg_class'::regclass and d.classid = 'pg_catalog.pg_rewrite'::regclass
join pg_catalog.pg_rewrite r on r.oid = d.objid
join pg_catalog.pg_class v on v.oid = r.ev_class and v.relkind in ('v', 'm')
where t.oid in ('public.moonpay_webhook_config'::regclass, 'public.moonpay_compliance_alerts'::regclass, 'public.moonpay_policy_logs'::regclass)
  and (has_table_privilege('anon', v.oid, 'select') or has_table_privilege('authenticated', v.oid, 'select'))
  and not coalesce(v.reloptions && array['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false);

-- Nobody but the owner reads these, whatever is granted later.
do $owner_only$
declare
  v_table text;
begin
  foreach v_table in array array['endpoint_secrets', 'provider_keys', 'master_key', 'installation_findings', 'adopted_tables', 'schema_migrations'] loop
    execute format('alter table moonguard.%I enable row level security', v_table);
    execute format('create policy owner_only on moonguard.%I using (false)', v_table);
  end loop;
end
$owner_only$;
alter table moonguard.alert_moves enable row level security;
create policy alert_moves_read on moonguard.alert_moves for select to authenticated, service_role using (true);
