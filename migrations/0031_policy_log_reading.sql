-- Why: the policy log is searched by the words of its reasons and notes, by whoever may read it; the leaf of a logged row is found.
-- Locks: none on tables that exist.
-- Older program: runs on.

-- With the rights of the owner, because @@ is not leakproof: under Row Level Security PostgreSQL would read every row before it looks
-- for words. What the caller may read is asked of the policy itself, so that both always say the same. The index of words is in 0009.
create function moonguard.search_policy_logs(p_words text, p_conditions jsonb default '[]', p_before timestamptz default null,
  p_before_id uuid default null, p_limit integer default 50)
returns table (id uuid, executed_at timestamptz)
language plpgsql stable security definer set search_path = '' rows 50 as $$
declare
  -- Within this function current_user is its owner.
  v_caller name := coalesce(nullif(current_setting('role', true), 'none'), session_user);
  v_query tsquery;
  v_conditions text;
  v_readable text;
begin
  select string_agg(quote_literal(lexeme) || ':*', ' & ')::tsquery into v_query from unnest(moonguard.words_of(p_words));
  select string_agg(format(' and l.%I %s', condition ->> 'column', (condition ->> 'operator') || case condition ->> 'operator'
      when 'in' then format(' (%s)', v.list) else ' ' || v.list end), '')
  into v_conditions
  from jsonb_array_elements(p_conditions) as condition,
    lateral (select coalesce(string_agg(quote_literal(value), ', '), 'null') as list from jsonb_array_elements_text(condition -> 'values') as value) as v;
  if exists (select from jsonb_array_elements(p_conditions) as condition where coalesce(condition ->> 'operator', '') not in ('in', '>=', '<', '@>')) then
    raise exception using errcode = 'invalid_parameter_value', message = format('rows of the log are not found by %s', p_conditions);
  end if;
  if not exists (
    select from pg_catalog.pg_roles r, pg_catalog.pg_class c
    where r.rolname = v_caller and c.oid = 'public.moonpay_policy_logs'::regclass
      and (r.rolbypassrls or pg_catalog.pg_has_role(r.oid, c.relowner, 'usage'))) then
    select format(' and exists (select from (select l.*) as moonpay_policy_logs where %s)', pg_catalog.pg_get_expr(polqual, polrelid)) into v_readable
    from pg_catalog.pg_policy where polrelid = 'public.moonpay_policy_logs'::regclass and polname = 'policy_logs_read';
  end if;
  return query execute format($query$
    select l.id, l.executed_at from public.moonpay_policy_logs l
    where (l.reason is not null or l.notes is not null) and to_tsvector('pg_catalog.simple',
        translate(left(coalesce(l.reason, '') || ' ' || coalesce(l.notes, ''), 200000), '!"#$%%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))) @@ $1 %s %s %s
    order by l.executed_at desc, l.id desc limit $4$query$,
    case when p_before is not null then 'and (l.executed_at, l.id) < ($2, $3)' end, v_conditions, v_readable)
  using v_query, p_before, p_before_id, p_limit;
end
$$;
comment on function moonguard.search_policy_logs(text, jsonb, timestamptz, uuid, integer) is
  'Rows of the policy log that the caller may read and that have a word beginning with each of these in reason or notes, the newest first: those before the given one, p_limit at most. Conditions narrow them, each {"column", "operator" (in, >=, <, @>), "values"}.';
revoke all on function moonguard.search_policy_logs(text, jsonb, timestamptz, uuid, integer) from public, anon, authenticated, service_role;
grant execute on function moonguard.search_policy_logs(text, jsonb, timestamptz, uuid, integer) to authenticated, service_role;

-- Planned once a session: planning it for every partition takes longer than to find the row. Whoever proves something by what
-- this returns checks it against the signed tree.
create function moonguard.leaf_of_logged(p_id text)
returns table (kind text, content text, leaf_index bigint, salts bytea, erased jsonb)
language plpgsql stable set search_path = '' set "TimeZone" = 'UTC' set enable_seqscan = 'off' set jit = 'off' set plan_cache_mode = 'force_generic_plan' as $$
declare
  v_id uuid := case when p_id ~* '^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$' then p_id::uuid end;
begin
  return query
    with logged as (
      (select 'policy_log' as kind, l.id, l.executed_at, to_jsonb(l) as content from public.moonpay_policy_logs l where l.log_id = p_id limit 1)
      union all select 'alert_timeline', t.id, t.at, to_jsonb(t) from moonguard.alert_timeline t where t.id = v_id
      union all select 'endpoint_change', c.id, c.at, to_jsonb(c) from moonguard.endpoint_changes c where c.id = v_id
    )
    select o.kind, o.content::text, a.leaf_index, a.salts, e.commitments
    from logged o
    left join moonguard.audit_leaves a on a.kind = o.kind and a.row_id = o.id and a.executed_at = o.executed_at
    left join moonguard.audit_erasures e on e.leaf_index = a.leaf_index;
end
$$;
comment on function moonguard.leaf_of_logged(text) is
  'A row of the policy log by its log_id, or an entry of an alert''s timeline or of an endpoint''s history by its id, with its leaf in the tree; times are in UTC.';
revoke all on function moonguard.leaf_of_logged(text) from public, anon, authenticated, service_role;
