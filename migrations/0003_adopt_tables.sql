-- Why: what an earlier, hand-made version of a table brings besides its columns: rules, views, triggers, grants. What is
--   put right and what is left is reported in moonguard.installation_findings; nothing goes without being named there.
-- Locks: none; the functions are called by later migrations.
-- Older program: there is none.

-- Sets the grants of a relation to exactly these: its creation may have come with default privileges.
create function moonguard.restore_grants(p_relation regclass, p_grants aclitem[]) returns void
language plpgsql set search_path = '' as $$
declare
  v_command text;
begin
  for v_command in
    select distinct format('revoke all on %s from %s', p_relation, case grantee when 0 then 'public' else grantee::regrole::text end)
    from pg_catalog.pg_class, pg_catalog.aclexplode(relacl) where oid = p_relation and grantee <> relowner
  loop
    execute v_command;
  end loop;
  for v_command in
    select format('grant %s on %s to %s%s', privilege_type, p_relation, case grantee when 0 then 'public' else grantee::regrole::text end,
      case when is_grantable then ' with grant option' else '' end)
    from pg_catalog.pg_class, pg_catalog.aclexplode(p_grants) where oid = p_relation and grantee <> relowner
  loop
    execute v_command;
  end loop;
end
$$;

-- A script that makes a view again: its definition with everything that hangs on it.
create function moonguard.view_script(p_view regclass) returns text
language sql stable set search_path = '' as $$
  select concat_ws(E';\n',
    format('create %s %s%s as %s%s', case c.relkind when 'm' then 'materialized view' else 'view' end, p_view,
      ' with (' || array_to_string(c.reloptions, ', ') || ')', rtrim(pg_catalog.pg_get_viewdef(c.oid), '; '),
      case when c.relkind = 'm' and not c.relispopulated then ' with no data' end),
    (select string_agg(pg_catalog.pg_get_indexdef(indexrelid), E';\n') from pg_catalog.pg_index where indrelid = c.oid),
    (select string_agg(pg_catalog.pg_get_triggerdef(oid), E';\n') from pg_catalog.pg_trigger where tgrelid = c.oid and not tgisinternal),
    format('comment on %s %s is %L', case c.relkind when 'm' then 'materialized view' else 'view' end, p_view,
      pg_catalog.obj_description(c.oid, 'pg_class')),
    format('select moonguard.restore_grants(%L, %L)', p_view, c.relacl),
    case when c.relowner <> current_user::regrole then format('alter table %s owner to %s', p_view, c.relowner::regrole) end)
  from pg_catalog.pg_class c where c.oid = p_view
$$;

-- The same of a function. Without grants of its own it has those that a new one gets.
create function moonguard.function_script(p_function regprocedure) returns text
language sql stable set search_path = '' as $$
  select concat_ws(E';\n', pg_catalog.pg_get_functiondef(p.oid),
    case when p.proacl is not null then format('revoke all on function %s from public, anon, authenticated, service_role', p_function) end,
    (select string_agg(format('grant execute on function %s to %s', p_function, case g.grantee when 0 then 'public' else g.grantee::regrole::text end), E';\n')
     from pg_catalog.aclexplode(p.proacl) g))
  from pg_catalog.pg_proc p where p.oid = p_function
$$;

-- Views and triggers hold on to columns, and triggers must not run while the installer puts rows right. They are noted,
-- taken down, and put back by moonguard.put_back() at the end. Triggers that only set updated_at give way to ours.
create function moonguard.take_down(p_table regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_name text := moonguard.table_name(p_table);
  v_item record;
begin
  for v_item in
    with recursive dependent as (
      select p_table::oid as oid, 0 as depth
      union
      select r.ev_class, dependent.depth + 1
      from dependent
      join pg_catalog.pg_depend d on d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = dependent.oid
        and d.classid = 'pg_catalog.pg_rewrite'::regclass
      join pg_catalog.pg_rewrite r on r.oid = d.objid and r.ev_class <> dependent.oid
    ), view as (
      select c.oid::regclass as name, c.relkind, max(dependent.depth) as depth
      from dependent join pg_catalog.pg_class c using (oid)
      where c.relkind in ('v', 'm') group by c.oid
    )
    select format('view %s', name) as item, depth, moonguard.view_script(name) as script,
      format('drop %s %s', case relkind when 'm' then 'materialized view' else 'view' end, name) as command
    from view
    union all
    select format('trigger %s', t.tgname), 0,
      case when p.proname not in ('update_updated_at_column', 'moddatetime') and p.prosrc !~* '^\s*begin\s+new\.updated_at\s*:?=[^;]+;\s*return\s+new\s*;\s*end\s*;?\s*$'
        then concat_ws(E';\n', pg_catalog.pg_get_triggerdef(t.oid), case t.tgenabled
          when 'D' then format('alter table %s disable trigger %I', p_table, t.tgname)
          when 'R' then format('alter table %s enable replica trigger %I', p_table, t.tgname)
          when 'A' then format('alter table %s enable always trigger %I', p_table, t.tgname) end)
      end,
      format('drop trigger %I on %s', t.tgname, p_table)
    from pg_catalog.pg_trigger t join pg_catalog.pg_proc p on p.oid = t.tgfoid
    where t.tgrelid = p_table and not t.tgisinternal
    order by depth desc, item
  loop
    begin
      execute v_item.command;
      if v_item.script is not null then
        update moonguard.adopted_tables set to_put_back = array[v_item.script] || to_put_back where table_name = v_name;
      end if;
    exception when dependent_objects_still_exist or insufficient_privilege then
      perform moonguard.report_finding(v_name, null, format('%s holds on to the table: %s', v_item.item, sqlerrm), 'left: it stays as it is');
    end;
  end loop;
end
$$;

-- Further columns that are computed from ours hold on to them too. They are computed anew from the same expression.
create function moonguard.take_down_computed_columns(p_table regclass, p_wanted regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_column record;
begin
  for v_column in
    select a.attname as name, concat_ws(E';\n',
        format('alter table %s add column %I %s generated always as (%s) %s', p_table, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod),
          pg_catalog.pg_get_expr(d.adbin, d.adrelid), case a.attgenerated when 's' then 'stored' else 'virtual' end),
        (select string_agg(pg_catalog.pg_get_indexdef(indexrelid), E';\n') from pg_catalog.pg_index
         where indrelid = p_table and a.attnum = any (indkey::int2[]))) as script
    from pg_catalog.pg_attribute a
    join pg_catalog.pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
    where a.attrelid = p_table and a.attgenerated <> ''
      and not exists (select from pg_catalog.pg_attribute w where w.attrelid = p_wanted and w.attname = a.attname)
  loop
    execute format('alter table %s drop column %I', p_table, v_column.name);
    update moonguard.adopted_tables set to_put_back = array[v_column.script] || to_put_back
    where table_name = moonguard.table_name(p_table);
  end loop;
end
$$;

create function moonguard.put_back(p_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_script text;
begin
  for v_script in select unnest(to_put_back) from moonguard.adopted_tables where table_name = p_name loop
    begin
      execute v_script;
    exception
      when lock_not_available or deadlock_detected then
        raise;
      when others then
        perform moonguard.report_finding(p_name, null, 'could not be made again: ' || sqlerrm, 'action needed: adapt and run: ' || v_script);
    end;
  end loop;
  update moonguard.adopted_tables set to_put_back = '{}' where table_name = p_name;
end
$$;

-- Rules of an earlier version about columns that are ours now give way to our own. What concerns only further columns of
-- the user's stays.
create function moonguard.retire_handmade_rules(p_table regclass, p_wanted regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_name text := moonguard.table_name(p_table);
  v_ours text[] := array(select attname::text from pg_catalog.pg_attribute where attrelid = p_wanted and attnum > 0 and not attisdropped);
  v_rule record;
begin
  for v_rule in
    with column_name as (
      select attnum, attname::text as name from pg_catalog.pg_attribute where attrelid = p_table and attnum > 0 and not attisdropped
    ), rule as (
      select c.*, array(select name from column_name where attnum = any (c.conkey) order by name) as columns
      from pg_catalog.pg_constraint c where c.conrelid = p_table
    ), wanted_key as (
      select array(select attname::text from pg_catalog.pg_attribute where attrelid = p_wanted and attnum = any (c.conkey) order by attname) as columns
      from pg_catalog.pg_constraint c where c.conrelid = p_wanted and c.contype in ('p', 'u')
    ), unique_index as (
      select i.indexrelid, array(select name from column_name where attnum = any (i.indkey::int2[]) order by name) as columns
      from pg_catalog.pg_index i
      where i.indrelid = p_table and i.indisunique and i.indpred is null and i.indexprs is null
        and not exists (select from pg_catalog.pg_constraint c where c.conindid = i.indexrelid and c.conrelid = p_table)
    )
    select 'policy ' || polname as reason, format('drop policy %I on %s', polname, p_table) as command
    from pg_catalog.pg_policy where polrelid = p_table
    union all
    select format('constraint %s: %s', conname, pg_catalog.pg_get_constraintdef(oid)), format('alter table %s drop constraint %I', p_table, conname)
    from rule where (contype in ('c', 'f', 'x') and columns && v_ours)
      or (contype = 'u' and columns <@ v_ours and columns not in (select columns from wanted_key))
    union all
    select 'index ' || pg_catalog.pg_get_indexdef(indexrelid), format('drop index %s', indexrelid::regclass)
    from unique_index where columns <@ v_ours and columns not in (select columns from wanted_key)
  loop
    begin
      execute v_rule.command;
      perform moonguard.report_finding(v_name, null, v_rule.reason, 'corrected: the rules of this version replace it');
    exception when dependent_objects_still_exist then
      perform moonguard.report_finding(v_name, null, v_rule.reason, 'action needed: ' || sqlerrm || '; then ' || v_rule.command);
    end;
  end loop;
end
$$;

-- NAME was made in moonguard as it shall be. Where there is none in public it moves there; else the one there is brought
-- to the same columns, and what follows until finish_adoption(NAME) puts its rows right.
create function moonguard.begin_adoption(p_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_wanted regclass := format('moonguard.%I', p_name);
  v_table regclass := to_regclass(format('public.%I', p_name));
  v_index record;
begin
  if v_table is null then
    execute format('alter table %s set schema public', v_wanted);
    return;
  end if;
  perform moonguard.take_down(v_table);
  perform moonguard.take_down_computed_columns(v_table, v_wanted);
  perform moonguard.retire_handmade_rules(v_table, v_wanted);
  perform moonguard.adopt_columns(v_table, v_wanted);
  -- PostgreSQL names an index that was given no name just as we name ours.
  for v_index in
    select c.relname from pg_catalog.pg_index i join pg_catalog.pg_class c on c.oid = i.indexrelid
    where i.indrelid = v_table and c.relname like p_name || '%\_idx'
  loop
    execute format('alter index public.%I rename to %I', v_index.relname, left(v_index.relname, 46) || '_before_moonguard');
  end loop;
end
$$;

create function moonguard.adopt_keys(p_table regclass, p_wanted regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_key record;
begin
  for v_key in
    select conname, contype, array(select attname::text from pg_catalog.pg_attribute where attrelid = p_wanted and attnum = any (conkey)) as columns
    from pg_catalog.pg_constraint where conrelid = p_wanted and contype in ('p', 'u')
  loop
    if v_key.contype = 'p' and not exists (select from pg_catalog.pg_index where indrelid = p_table and indisprimary) then
      execute format('alter table %s add constraint %I primary key (%s)', p_table, v_key.conname, (select string_agg(quote_ident(name), ', ') from unnest(v_key.columns) as name));
    else
      perform moonguard.add_key(p_table, case v_key.contype when 'p' then replace(v_key.conname, '_pkey', '_id_key') else v_key.conname end, variadic v_key.columns);
    end if;
  end loop;
end
$$;

create function moonguard.finish_adoption(p_name text) returns void
language plpgsql set search_path = '' as $$
declare
  v_wanted regclass := to_regclass(format('moonguard.%I', p_name));
  v_table regclass := format('public.%I', p_name);
  v_column record;
  v_count bigint;
begin
  if v_wanted is null then
    return;
  end if;
  for v_column in
    select e.attname as name, w.attname is not null as is_ours, w.attnotnull as wants_value, e.attnotnull as demands_value,
      (select pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d where d.adrelid = w.attrelid and d.adnum = w.attnum) as default_value,
      e.atthasdef or e.attidentity <> '' as fills_itself,
      exists (select from pg_catalog.pg_index i where i.indrelid = v_table and i.indisprimary and e.attnum = any (i.indkey::int2[])) as is_key
    from pg_catalog.pg_attribute e
    left join pg_catalog.pg_attribute w on w.attrelid = v_wanted and w.attname = e.attname and not w.attisdropped
    where e.attrelid = v_table and e.attnum > 0 and not e.attisdropped
  loop
    if v_column.default_value is not null then
      if v_column.wants_value then
        execute format('update %s set %I = %s where %I is null', v_table, v_column.name, v_column.default_value, v_column.name);
        get diagnostics v_count = row_count;
        if v_count > 0 then
          perform moonguard.report_finding(p_name, null, format('%s had no value in %s rows', v_column.name, v_count),
            'corrected: set to the default ' || v_column.default_value);
        end if;
      end if;
      execute format('alter table %s alter column %I set default %s', v_table, v_column.name, v_column.default_value);
    end if;
    if v_column.wants_value then
      execute format('alter table %s alter column %I set not null', v_table, v_column.name);
    elsif v_column.demands_value and not v_column.is_key and (v_column.is_ours or not v_column.fills_itself) then
      execute format('alter table %s alter column %I drop not null', v_table, v_column.name);
      if not v_column.is_ours then
        perform moonguard.report_finding(p_name, null, format('column %s, which this version does not fill, was NOT NULL without a default', v_column.name),
          'corrected: it may be null');
      end if;
    end if;
  end loop;

  perform moonguard.adopt_keys(v_table, v_wanted);
  execute format('drop table %s', v_wanted);
end
$$;
