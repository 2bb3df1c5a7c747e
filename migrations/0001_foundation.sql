-- Why: the ground everything else stands on: schemas, the roles that Row Level Security speaks of, identity, ids, findings.
-- Locks: none on tables that exist.
-- Older program: there is none.

-- Supporting tables. Not listed among the schemas that Supabase's API exposes.
create schema if not exists moonguard;
-- Partitions. Granted to nobody: Row Level Security on a parent does not protect a direct read of a partition.
create schema if not exists moonguard_partitions;

create table moonguard.installation_findings (
  id bigint generated always as identity primary key,
  found_at timestamptz not null default now(),
  table_name text not null,
  row_key text,
  reason text not null,
  resolution text not null
);
comment on table moonguard.installation_findings is
  'What the installer found in tables that existed before it: what it put right, and what somebody has to look at.';
comment on column moonguard.installation_findings.row_key is 'Primary key of the row, or null when the finding is about the table.';
comment on column moonguard.installation_findings.resolution is 'Begins with "corrected:", "left:" or "action needed:".';

create table moonguard.adopted_tables (
  table_name text primary key,
  adopted_at timestamptz not null default now(),
  to_put_back text[] not null default '{}'
);
comment on table moonguard.adopted_tables is 'Tables of ours that were there before Moonguard was.';
comment on column moonguard.adopted_tables.to_put_back is
  'While the installer works on the table: what makes its views and triggers again. Empty afterwards.';
do $possible$
declare
  v_obstacle record;
begin
  if current_setting('server_version_num')::int < 150000 then
    raise exception using errcode = 'feature_not_supported',
      message = format('this is PostgreSQL %s', current_setting('server_version')), hint = 'Moonguard needs PostgreSQL 15 or newer.';
  end if;
  select relname, case relkind when 'v' then 'a view' when 'm' then 'a materialized view' when 'f' then 'a foreign table' else 'no table' end as kind
  into v_obstacle from pg_catalog.pg_class
  where relnamespace = 'public'::regnamespace and relkind not in ('r', 'p') and relname in ('moonpay_webhook_events', 'moonpay_transactions',
    'moonpay_customers', 'moonpay_policies', 'moonpay_webhook_config', 'moonpay_compliance_alerts', 'moonpay_policy_logs');
  if found then
    raise exception using errcode = 'wrong_object_type',
      message = format('public.%s is %s', v_obstacle.relname, v_obstacle.kind), hint = 'Moonguard needs a table of this name: rename what is there.';
  end if;
end
$possible$;

insert into moonguard.adopted_tables (table_name)
select name from unnest(array['moonpay_webhook_events', 'moonpay_transactions', 'moonpay_customers', 'moonpay_policies',
  'moonpay_webhook_config', 'moonpay_compliance_alerts', 'moonpay_policy_logs']) as name
where to_regclass('public.' || name) is not null;

create function moonguard.report_finding(p_table text, p_row_key text, p_reason text, p_resolution text) returns void
language sql set search_path = '' as $$
  insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
  values (p_table, p_row_key, p_reason, p_resolution)
$$;

create function moonguard.table_name(p_table regclass) returns text
language sql stable set search_path = '' as $$
  select relname::text from pg_catalog.pg_class where oid = p_table
$$;

-- The three database roles exist on Supabase and are created elsewhere. Roles belong to the whole server, so another
-- installation may be creating them at the same moment.
do $roles$
declare
  v_role text;
  v_may_create boolean := (select rolsuper or rolcreaterole from pg_catalog.pg_roles where rolname = current_user);
  v_membership text := case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end;
begin
  foreach v_role in array array['anon', 'authenticated', 'service_role'] loop
    if not exists (select from pg_catalog.pg_roles where rolname = v_role) then
      if not v_may_create then
        raise exception using
          errcode = 'insufficient_privilege',
          message = format('the role %s is missing and %s may not create roles', v_role, current_user),
          hint = format('As an administrator: create role anon nologin; create role authenticated nologin; create role service_role nologin bypassrls; grant anon, authenticated, service_role to %I;', current_user);
      end if;
      begin
        execute format('create role %I nologin', v_role);
      exception when duplicate_object or unique_violation then null;
      end;
      if v_role = 'service_role' then
        begin
          alter role service_role bypassrls;
        exception when insufficient_privilege then
          perform moonguard.report_finding('service_role', null, 'the role was created without BYPASSRLS, which only a superuser may give',
            'action needed: as a superuser: alter role service_role bypassrls');
        end;
      end if;
    end if;
    if not pg_catalog.pg_has_role(current_user, v_role, v_membership) then
      begin
        execute format('grant %I to %I', v_role, current_user);
      exception when insufficient_privilege then
        perform moonguard.report_finding(v_role, null, format('%s may not act as %s', current_user, v_role),
          format('action needed: as an administrator: grant %I to %I', v_role, current_user));
      end;
    end if;
  end loop;
end
$roles$;

-- RFC 9562 version 7: 48 bits of Unix milliseconds, then random bits. PostgreSQL has uuidv7() from version 18 on.
create function moonguard.uuid_v7() returns uuid
language plpgsql volatile parallel safe set search_path = '' as $$
begin
  return (lpad(to_hex((extract(epoch from clock_timestamp()) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16))::uuid;
end
$$;
comment on function moonguard.uuid_v7() is 'A UUID version 7: ids sort by the time they were made.';

-- A setting reads back as an empty string after the transaction that set it, hence the nullif.
create function moonguard.claims() returns jsonb
language plpgsql stable parallel safe set search_path = '' as $$
begin
  return coalesce(nullif(current_setting('request.jwt.claims', true), '')::jsonb, '{}');
end
$$;
comment on function moonguard.claims() is 'Claims of the verified JWT of this request; an empty object when there is none.';

create function moonguard.has_role(variadic p_roles text[]) returns boolean
language plpgsql stable parallel safe set search_path = '' as $$
begin
  return coalesce(moonguard.claims() -> 'app_metadata' ->> 'moonpay_role' = any (p_roles), false);
end
$$;
comment on function moonguard.has_role(text[]) is
  'Whether the caller has one of the roles. Reads app_metadata, which only the server can write, never user_metadata.';

create function moonguard.current_actor() returns text
language plpgsql stable parallel safe set search_path = '' as $$
begin
  return coalesce(nullif(moonguard.claims() ->> 'sub', ''), nullif(current_setting('moonguard.actor', true), ''));
end
$$;
comment on function moonguard.current_actor() is
  'Who acts: the subject of the JWT; without one, what the program set as moonguard.actor in this transaction.';

create function moonguard.set_updated_at() returns trigger
language plpgsql set search_path = '' as $$
begin
  new.updated_at := now();
  return new;
end
$$;

-- Names rows that were there before and break a rule, unless somebody has to look at them already. The rule may call the row
-- "new", as a trigger does.
create function moonguard.report_breaches(p_table regclass, p_name text, p_expression text) returns void
language plpgsql set search_path = '' as $$
begin
  execute format(
    'insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
     select %1$L, id::text, %2$L, %3$L from %4$s as new where not (%5$s) and not exists (
       select from moonguard.installation_findings f
       where f.table_name = %1$L and f.row_key = new.id::text and f.resolution like ''action needed:%%'')',
    moonguard.table_name(p_table), 'breaks the rule ' || p_name,
    'left: the row is as it was; a change to it must satisfy the rule', p_table, p_expression);
end
$$;

-- Named checks on tables that may hold older rows: added without looking at them, then tried. Rows that break the check
-- stay as they are and are reported; the check holds for everything written from now on.
create function moonguard.add_check(p_table regclass, p_name text, p_expression text) returns void
language plpgsql set search_path = '' as $$
begin
  execute format('alter table %s drop constraint if exists %I', p_table, p_name);
  execute format('alter table %s add constraint %I check (%s) not valid', p_table, p_name, p_expression);
  begin
    execute format('alter table %s validate constraint %I', p_table, p_name);
  exception when check_violation then
    perform moonguard.report_breaches(p_table, p_name, p_expression);
  end;
end
$$;

create function moonguard.nameless_index(p_index oid) returns text
language sql stable set search_path = '' as $$
  select regexp_replace(pg_catalog.pg_get_indexdef(p_index), ' INDEX .*? ON ', ' INDEX ON ')
$$;

-- An index of the user's that is the same but for its name serves; a second one would only cost.
create function moonguard.add_index(p_table regclass, p_name text, p_definition text) returns void
language plpgsql set search_path = '' as $$
begin
  execute format('create index if not exists %I on %s %s', p_name, p_table, p_definition);
  if exists (
    select from pg_catalog.pg_index ours
    join pg_catalog.pg_class c on c.oid = ours.indexrelid and c.relname = p_name
    join pg_catalog.pg_index other on other.indrelid = ours.indrelid and other.indexrelid <> ours.indexrelid and other.indisvalid
    where ours.indrelid = p_table and moonguard.nameless_index(other.indexrelid) = moonguard.nameless_index(ours.indexrelid)
  ) then
    execute format('drop index public.%I', p_name);
  end if;
end
$$;

-- A key that foreign keys and ON CONFLICT can name.
create function moonguard.add_key(p_table regclass, p_name text, variadic p_columns text[]) returns void
language plpgsql set search_path = '' as $$
declare
  v_columns text := (select string_agg(quote_ident(name), ', ') from unnest(p_columns) as name);
begin
  if not exists (
    select from pg_catalog.pg_index i
    where i.indrelid = p_table and i.indisunique and i.indisvalid and i.indimmediate and i.indpred is null and i.indexprs is null
      and (select array_agg(a.attname::text order by a.attname) from pg_catalog.pg_attribute a
           where a.attrelid = p_table and a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
        = (select array_agg(name order by name) from unnest(p_columns) as name)
  ) then
    execute format('alter table %s add constraint %I unique (%s)', p_table, p_name, v_columns);
  end if;
end
$$;

-- A view in public through which Supabase's API shows a table of moonguard, under the reader's own rights. Something of
-- the user's that has its name stays.
create function moonguard.add_view(p_name text, p_comment text, p_query text) returns void
language plpgsql set search_path = '' as $$
begin
  if to_regclass(format('public.%I', p_name)) is not null then
    perform moonguard.report_finding(p_name, null, 'there is something of this name already', 'left: the view of this version was not made; rename it to get the view');
    return;
  end if;
  execute format('create view public.%I with (security_invoker = true) as %s', p_name, p_query);
  execute format('comment on view public.%I is %L', p_name, p_comment);
  execute format('revoke all on public.%I from public, anon, authenticated, service_role', p_name);
  execute format('grant select on public.%I to authenticated, service_role', p_name);
end
$$;

-- Gives the columns of such a view the comments of the table's columns of the same names.
create function moonguard.comment_view(p_name text, p_table regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_column record;
begin
  for v_column in
    select shown.attname as name, pg_catalog.col_description(known.attrelid, known.attnum) as meaning
    from pg_catalog.pg_attribute shown
    join pg_catalog.pg_attribute known on known.attrelid = p_table and known.attname = shown.attname
    where shown.attrelid = to_regclass(format('public.%I', p_name))
      and pg_catalog.col_description(shown.attrelid, shown.attnum) is null
  loop
    execute format('comment on column public.%I.%I is %L', p_name, v_column.name, v_column.meaning);
  end loop;
end
$$;
