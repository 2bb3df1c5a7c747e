-- Why: a million alerts are listed, searched and counted in milliseconds: words beside the rows, counters, indexes.
-- Locks: SHARE ROW EXCLUSIVE on moonpay_compliance_alerts while indexes, words and counters are made: nobody writes alerts meanwhile.
-- Older program: runs on.

-- Words. Beside the alerts and not in them: a move of an alert does not write its words again, and select * does not show them. No
-- foreign key: alerts are not deleted, and a word without an alert is not found.
create table moonguard.alert_search (
  alert_id uuid primary key,
  triggered_at timestamptz not null,
  words tsvector not null
);
create index alert_search_words_idx on moonguard.alert_search using gin (words);
create index alert_search_triggered_at_idx on moonguard.alert_search (triggered_at, alert_id);
-- The planner takes the index of words for rare ones and walks back in time for frequent ones: it has to know which are which.
alter table moonguard.alert_search alter column words set statistics 500;
comment on table moonguard.alert_search is 'The words of title, description and notes of each alert, and when it was triggered.';
alter table moonguard.alert_search enable row level security;
create policy owner_only on moonguard.alert_search using (false);
revoke all on moonguard.alert_search from public, anon, authenticated, service_role;

-- Punctuation only separates: the parser of PostgreSQL would take a word beside it for a host, a path, a signed number. A
-- tsvector takes 1 MiB; 200,000 characters of any kind fit.
create function moonguard.words_of(p_text text) returns tsvector
language sql immutable parallel safe set search_path = '' as $$
  select strip(to_tsvector('pg_catalog.simple', translate(left(p_text, 200000), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))))
$$;
revoke all on function moonguard.words_of(text) from public, anon, authenticated, service_role;

create function moonguard.alert_after_6_words() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  insert into moonguard.alert_search (alert_id, triggered_at, words)
  values (new.id, new.triggered_at, moonguard.words_of(concat_ws(' ', new.title, new.description, new.resolution_notes)))
  on conflict (alert_id) do update set triggered_at = excluded.triggered_at, words = excluded.words;
  return null;
end
$$;
revoke all on function moonguard.alert_after_6_words() from public, anon, authenticated, service_role;
create trigger alert_after_6_words after insert on public.moonpay_compliance_alerts
  for each row execute function moonguard.alert_after_6_words();
create trigger alert_after_6_words_changed after update on public.moonpay_compliance_alerts
  for each row when ((old.triggered_at, old.title, old.description, old.resolution_notes)
    is distinct from (new.triggered_at, new.title, new.description, new.resolution_notes))
  execute function moonguard.alert_after_6_words();

create function moonguard.index_alert_words() returns void
language sql set search_path = '' as $$
  insert into moonguard.alert_search (alert_id, triggered_at, words)
  select id, triggered_at, moonguard.words_of(concat_ws(' ', title, description, resolution_notes)) from public.moonpay_compliance_alerts
  on conflict (alert_id) do update set triggered_at = excluded.triggered_at, words = excluded.words
$$;
comment on function moonguard.index_alert_words() is 'Writes the words of all alerts anew: after triggers were off, as in a restore of data alone.';

-- A condition as TypeScript has it (src/compliance/alertFilter.ts), as SQL about an alert called a and its words, called s. The
-- time is asked of the words: that is where a search walks back, and it begins where a window ends.
create function moonguard.alert_condition(p_condition jsonb) returns text
language plpgsql stable set search_path = '' as $$
declare
  v_operator text := p_condition ->> 'operator';
  v_values text := (select string_agg(quote_literal(value), ', ') from jsonb_array_elements_text(p_condition -> 'values') as value);
begin
  if v_operator = 'of group' then
    -- Groups are joined: an alert keeps the name that its group had first.
    return format('a.id in (select id from moonguard.alerts_of_group(%s))', v_values);
  end if;
  if v_operator in ('in', '>=', '<', '<=', '@>', 'is null', 'is not null') and exists (
    select from pg_catalog.pg_attribute
    where attrelid = 'public.moonpay_compliance_alerts'::regclass and attname = p_condition ->> 'column' and attnum > 0 and not attisdropped) then
    return format('%s.%I %s', case p_condition ->> 'column' when 'triggered_at' then 's' else 'a' end, p_condition ->> 'column', v_operator || case v_operator when 'in' then format(' (%s)', coalesce(v_values, 'null')) else coalesce(' ' || v_values, '') end);
  end if;
  raise exception using errcode = 'invalid_parameter_value', message = format('alerts are not found by %s', p_condition);
end
$$;
revoke all on function moonguard.alert_condition(jsonb) from public, anon, authenticated, service_role;

-- With the rights of the owner, because @@ is not leakproof: for whoever is under Row Level Security PostgreSQL would read every
-- row before it looks for words (measured with a million alerts: 100 to 430 ms instead of 1 to 17). So it asks itself for the
-- role that may read alerts, and gives ids only: the rows are the caller's to read, under the policies there are.
create function moonguard.search_alerts(p_words text, p_conditions jsonb default '[]', p_before timestamptz default null,
  p_before_id uuid default null, p_limit integer default 50)
returns setof uuid
language plpgsql stable security definer set search_path = '' rows 50 as $$
declare
  -- Within this function current_user is its owner.
  v_caller name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  v_query tsquery;
  v_conditions text;
begin
  if not moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor') and not exists (
    select from pg_catalog.pg_roles r, pg_catalog.pg_class c
    where r.rolname = v_caller and c.oid = 'public.moonpay_compliance_alerts'::regclass
      and (r.rolbypassrls or pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'))) then
    return;
  end if;
  select string_agg(quote_literal(lexeme) || ':*', ' & ')::tsquery into v_query from unnest(moonguard.words_of(p_words));
  select string_agg(' and ' || moonguard.alert_condition(condition), '') into v_conditions from jsonb_array_elements(p_conditions) as condition;
  return query execute format(
    'select a.id from moonguard.alert_search s join public.moonpay_compliance_alerts a on a.id = s.alert_id
     where s.words @@ $1 %s %s
     order by s.triggered_at desc, s.alert_id desc limit $4',
    case when p_before is not null then 'and (s.triggered_at, s.alert_id) < ($2, $3)' end, v_conditions)
  using v_query, p_before, p_before_id, p_limit;
end
$$;
comment on function moonguard.search_alerts(text, jsonb, timestamptz, uuid, integer) is
  'Ids of alerts that have a word beginning with each of these in title, description or notes, the newest first: those before the given one, p_limit at most. Conditions narrow them, each {"column", "operator", "values"} with an operator of moonguard.alert_condition. None for whoever may not read alerts.';
revoke all on function moonguard.search_alerts(text, jsonb, timestamptz, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function moonguard.search_alerts(text, jsonb, timestamptz, uuid, integer) to authenticated, service_role;

-- Counters. Who writes an alert only adds to a log of changes: a counter that is written in place is a lock that everybody
-- waits for until commit. The log is folded into the counters by the schedule; readers add both.
create table moonguard.alert_counts (
  alert_type text not null,
  severity text not null,
  status text not null,
  is_assigned boolean not null,
  is_breached boolean not null,
  is_archived boolean not null,
  is_merged boolean not null,
  alerts bigint not null,
  primary key (alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged)
);
comment on table moonguard.alert_counts is 'How many alerts there are of each kind, without moonguard.alert_count_changes.';
comment on column moonguard.alert_counts.is_breached is 'Was overdue at some time.';
comment on column moonguard.alert_counts.is_merged is 'Is worked on with another alert.';

create table moonguard.alert_day_counts (
  day date not null,
  alert_type text not null,
  severity text not null,
  status text not null,
  alerts bigint not null,
  primary key (day, alert_type, severity, status)
);
comment on table moonguard.alert_day_counts is 'How many alerts were triggered on each day, and what they are now, without moonguard.alert_count_changes.';
comment on column moonguard.alert_day_counts.day is 'Of triggered_at in UTC.';

create table moonguard.alert_count_changes (
  id bigint generated always as identity primary key,
  day date not null,
  alert_type text not null,
  severity text not null,
  status text not null,
  is_assigned boolean not null,
  is_breached boolean not null,
  is_archived boolean not null,
  is_merged boolean not null,
  change integer not null
);
comment on table moonguard.alert_count_changes is 'What moonguard.alert_counts and moonguard.alert_day_counts do not know yet.';
comment on column moonguard.alert_count_changes.change is '1: one more of these; -1: one less.';

-- A row from before Moonguard may lack words.
create function moonguard.counted_as(p_alert public.moonpay_compliance_alerts)
returns table (day date, alert_type text, severity text, status text, is_assigned boolean, is_breached boolean, is_archived boolean, is_merged boolean)
language sql stable set search_path = '' as $$
  select (p_alert.triggered_at at time zone 'UTC')::date, coalesce(p_alert.alert_type, 'unknown'), coalesce(p_alert.severity, 'unknown'),
    coalesce(p_alert.status, 'unknown'), p_alert.assigned_to is not null, p_alert.breached_at is not null, p_alert.archived_at is not null,
    p_alert.merged_into is not null
$$;

create function moonguard.alert_after_6_counts() returns trigger
language plpgsql security definer set search_path = '' as $$
begin
  if tg_op <> 'INSERT' then
    insert into moonguard.alert_count_changes (day, alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged, change)
    select *, -1 from moonguard.counted_as(old);
  end if;
  if tg_op <> 'DELETE' then
    insert into moonguard.alert_count_changes (day, alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged, change)
    select *, 1 from moonguard.counted_as(new);
  end if;
  return null;
end
$$;
create trigger alert_after_6_counts after insert or delete on public.moonpay_compliance_alerts
  for each row execute function moonguard.alert_after_6_counts();
create trigger alert_after_6_counts_changed after update on public.moonpay_compliance_alerts
  for each row when ((old.triggered_at, old.alert_type, old.severity, old.status, old.assigned_to is null, old.breached_at is null, old.archived_at is null, old.merged_into is null)
    is distinct from (new.triggered_at, new.alert_type, new.severity, new.status, new.assigned_to is null, new.breached_at is null, new.archived_at is null, new.merged_into is null))
  execute function moonguard.alert_after_6_counts();

-- In the order of their keys, so that two at a time wait for each other and do not deadlock.
create function moonguard.fold_alert_counts() returns integer
language plpgsql set search_path = '' as $$
declare
  v_folded integer;
begin
  with taken as (
    delete from moonguard.alert_count_changes returning *
  ), counted as (
    insert into moonguard.alert_counts as c (alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged, alerts)
    select alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged, sum(change) from taken
    group by alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged having sum(change) <> 0
    order by alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged
    on conflict (alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged) do update set alerts = c.alerts + excluded.alerts
  ), counted_by_day as (
    insert into moonguard.alert_day_counts as c (day, alert_type, severity, status, alerts)
    select day, alert_type, severity, status, sum(change) from taken
    group by day, alert_type, severity, status having sum(change) <> 0
    order by day, alert_type, severity, status
    on conflict (day, alert_type, severity, status) do update set alerts = c.alerts + excluded.alerts
  )
  select count(*) into v_folded from taken;
  return v_folded;
end
$$;
comment on function moonguard.fold_alert_counts() is 'Puts the logged changes into the counters; returns how many. Whenever, by whomever: what readers see stays the same.';

create function moonguard.recount_alerts() returns void
language plpgsql set search_path = '' as $$
begin
  -- Whoever is writing alerts is waited for; his changes are seen by the statements that follow.
  lock table public.moonpay_compliance_alerts in share row exclusive mode;
  delete from moonguard.alert_count_changes;
  delete from moonguard.alert_counts;
  delete from moonguard.alert_day_counts;
  with counted as materialized (
    select key.*, count(*) as alerts from public.moonpay_compliance_alerts a cross join lateral moonguard.counted_as(a) as key
    group by key.day, key.alert_type, key.severity, key.status, key.is_assigned, key.is_breached, key.is_archived, key.is_merged
  ), by_day as (
    insert into moonguard.alert_day_counts (day, alert_type, severity, status, alerts)
    select day, alert_type, severity, status, sum(alerts) from counted group by day, alert_type, severity, status
  )
  insert into moonguard.alert_counts (alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged, alerts)
  select alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged, sum(alerts) from counted
  group by alert_type, severity, status, is_assigned, is_breached, is_archived, is_merged;
end
$$;
comment on function moonguard.recount_alerts() is 'Counts all alerts anew: after triggers were off, as in a restore of data alone.';

revoke all on function moonguard.index_alert_words(), moonguard.counted_as(public.moonpay_compliance_alerts), moonguard.alert_after_6_counts(),
  moonguard.fold_alert_counts(), moonguard.recount_alerts() from public, anon, authenticated, service_role;
revoke all on moonguard.alert_counts, moonguard.alert_day_counts, moonguard.alert_count_changes from public, anon, authenticated, service_role;
grant select on moonguard.alert_counts, moonguard.alert_day_counts, moonguard.alert_count_changes to authenticated, service_role;
alter table moonguard.alert_counts enable row level security;
alter table moonguard.alert_day_counts enable row level security;
alter table moonguard.alert_count_changes enable row level security;
create policy alert_counts_read on moonguard.alert_counts for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_day_counts_read on moonguard.alert_day_counts for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));
create policy alert_count_changes_read on moonguard.alert_count_changes for select to authenticated
  using ((select moonguard.has_role('admin', 'compliance_officer', 'compliance_analyst', 'auditor')));

-- Lists are the newest first, so an index ends with triggered_at and id where one value may have many alerts. test/flow/alertPlans.test.ts
-- names the lists that need each.
do $indexes$
declare
  v_index record;
begin
  for v_index in
    select * from (values
      ('status', '(status, triggered_at, id)'),
      ('severity', '(severity, triggered_at, id)'),
      ('alert_type', '(alert_type, triggered_at, id)'),
      ('risk_level', '(risk_level, triggered_at, id)'),
      ('risk_score', '(risk_score)'),
      ('resolved_at', '(resolved_at)'),
      ('due_at', '(due_at)'),
      ('created_at', '(created_at, id)'),
      ('due', '(due_at, id) where status in (''open'', ''in_review'', ''escalated'')'),
      ('archived', '(triggered_at, id) where archived_at is not null'),
      ('merged', '(triggered_at, id) where merged_into is not null'),
      ('breached', '(triggered_at, id) where breached_at is not null'),
      ('suppressed', '(triggered_at, id) where suppression_id is not null'),
      ('nobodys', '(triggered_at, id) where status = ''open'' and assigned_to is null'),
      -- For the schedule, for whoever decides an alert that others are merged into, and for handing out what is in a queue.
      ('next_step_at', '(next_step_at, id) where next_step_at is not null'),
      ('merged_into', '(merged_into) where merged_into is not null'),
      ('waiting', '(queue, array_position(''{critical,high,medium,low}'', severity), triggered_at, id) where status = ''open'' and assigned_to is null')
    ) as plain (name, definition)
    union all
    select name, format('(%I, triggered_at, id) where %1$I is not null', name)
    from unnest(array['wallet_address', 'correlation_id', 'group_id', 'dedupe_key', 'external_reference', 'reviewed_by', 'resolved_by', 'escalated_to', 'queue', 'source']) as name
  loop
    perform moonguard.add_index('public.moonpay_compliance_alerts', format('moonpay_compliance_alerts_%s_idx', v_index.name), v_index.definition);
  end loop;
end
$indexes$;

select moonguard.index_alert_words();
select moonguard.recount_alerts();
