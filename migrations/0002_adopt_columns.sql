-- Why: the three additional tables may exist in an earlier, hand-made version: its columns become what they shall be.
-- Locks: none; the functions are called by later migrations.
-- Older program: there is none.

-- What a hand-made version demanded of a column and we cannot promise.
create function moonguard.drop_not_null(p_table regclass, variadic p_columns text[]) returns void
language plpgsql set search_path = '' as $$
declare
  v_column text;
begin
  for v_column in
    select attname from pg_catalog.pg_attribute
    where attrelid = p_table and attname = any (p_columns) and attnotnull and not attisdropped
  loop
    execute format('alter table %s alter column %I drop not null', p_table, v_column);
  end loop;
end
$$;

-- A value in another type, as text; null where it cannot be read as one. Numbers are rounded to whole ones; integers also
-- to the largest or smallest that there is. A count beyond 2^53 was none.
create function moonguard.cast_or_null(p_value text, p_type text) returns text
language plpgsql strict set search_path = '' as $$
declare
  v_number numeric;
  v_result text;
begin
  if p_type in ('integer', 'bigint') then
    v_number := round(p_value::numeric);
    return case
      when v_number = 'NaN' then null
      when p_type = 'integer' then least(greatest(v_number, -2147483648), 2147483647)::integer::text
      when abs(v_number) < 2::numeric ^ 53 then v_number::bigint::text
    end;
  end if;
  execute format('select $1::%s::text', p_type) into v_result using p_value;
  return v_result;
exception when data_exception or feature_not_supported then
  return null;
end
$$;

create function moonguard.json_or_text(p_value text) returns jsonb
language plpgsql set search_path = '' as $$
begin
  return nullif(trim(p_value), '')::jsonb;
exception when data_exception then
  return to_jsonb(p_value);
end
$$;

-- A list that was kept as JSON, as an array's text, or separated by commas.
create function moonguard.text_array(p_value text) returns text[]
language plpgsql set search_path = '' as $$
begin
  return case
    when p_value ~ '^\s*\[' then array(select jsonb_array_elements_text(p_value::jsonb))
    when p_value ~ '^\s*\{' then p_value::text[]
    else regexp_split_to_array(trim(both ' "' from p_value), '\s*,\s*')
  end;
exception when data_exception then
  return array[p_value];
end
$$;

create function moonguard.drop_dependent_indexes(p_table regclass, p_column text) returns void
language plpgsql set search_path = '' as $$
declare
  v_index record;
begin
  for v_index in
    select i.indexrelid::regclass as name, pg_catalog.pg_get_indexdef(i.indexrelid) as definition
    from pg_catalog.pg_index i
    where i.indrelid = p_table and (i.indpred is not null or i.indexprs is not null) and exists (
      select from pg_catalog.pg_depend d
      join pg_catalog.pg_attribute a on a.attrelid = p_table and a.attnum = d.refobjsubid
      where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid and d.refobjid = p_table and a.attname = p_column)
  loop
    execute format('drop index %s', v_index.name);
    perform moonguard.report_finding(moonguard.table_name(p_table), null, format('an index compared %s in its earlier type', p_column),
      'corrected: dropped; it was ' || v_index.definition);
  end loop;
end
$$;

-- A column of an earlier version becomes what it shall be. What cannot be said in the new type is reported with its value;
-- what cannot be converted at all (something that holds on to the column) stays and is reported.
create function moonguard.convert_column(p_table regclass, p_column text, p_from text, p_to text) returns void
language plpgsql set search_path = '' as $$
declare
  v_name text := moonguard.table_name(p_table);
  v_is_direct boolean := p_to = 'text'
    or (p_to = 'text[]' and p_from like '%[]')
    or (p_to = 'timestamp with time zone' and p_from in ('timestamp without time zone', 'date'))
    or (p_to in ('integer', 'bigint') and p_from in ('smallint', 'integer'));
  v_converted text := case
      when v_is_direct then format('%I::%s', p_column, p_to)
      when p_to = 'text[]' then format('moonguard.text_array(%I::text)', p_column)
      when p_to = 'jsonb' and p_from like '%[]' then format('to_jsonb(%I)', p_column)
      when p_to = 'jsonb' then format('moonguard.json_or_text(%I::text)', p_column)
      else format('moonguard.cast_or_null(%I::text, %L)::%s', p_column, p_to, p_to)
    end;
  v_command text := format('alter table %s alter column %I type %s using %s', p_table, p_column, p_to, v_converted);
begin
  if not v_is_direct and p_to not in ('jsonb', 'text[]') then
    execute format(
      'insert into moonguard.installation_findings (table_name, row_key, reason, resolution)
       select %1$L, id::text, format(''%%s was %%s'', %2$L, %3$I::text), ''corrected: is '' || coalesce((%4$s)::text, ''null'') || '' now''
       from %5$s where %3$I::text <> '''' and ((%4$s) is null or (%6$L in (''integer'', ''bigint'')
         and (%4$s)::text::numeric <> moonguard.cast_or_null(%3$I::text, ''numeric'')::numeric))',
      v_name, p_column, p_column, v_converted, p_table, p_to);
  end if;
  begin
    execute v_command;
  exception when undefined_function or datatype_mismatch then
    -- Indexes with a predicate or an expression compare the column as the type it had.
    perform moonguard.drop_dependent_indexes(p_table, p_column);
    execute v_command;
  end;
  -- A longer text or a larger number is nothing to tell anybody.
  if p_from not like 'character%' and not (v_is_direct and p_to in ('integer', 'bigint')) then
    perform moonguard.report_finding(v_name, null, format('column %s was %s', p_column, p_from),
      format('corrected: is %s now', p_to) || case when p_to = 'timestamp with time zone' and v_is_direct
        then format('; values were read in the time zone %s', current_setting('TimeZone')) else '' end);
  end if;
exception
  when lock_not_available or deadlock_detected then
    raise;
  when others then
    perform moonguard.report_finding(v_name, null, format('column %s is %s: %s', p_column, p_from, sqlerrm),
      'action needed: remove what holds on to it, then ' || v_command);
end
$$;

-- A column fills itself no more: neither by a default nor by an identity nor by an expression. What it holds stays.
create function moonguard.stop_filling(p_table regclass, p_column text) returns void
language plpgsql set search_path = '' as $$
declare
  v_column pg_catalog.pg_attribute := (select a from pg_catalog.pg_attribute a where a.attrelid = p_table and a.attname = p_column);
begin
  if v_column.attidentity <> '' then
    execute format('alter table %s alter column %I drop identity', p_table, p_column);
  elsif v_column.attgenerated = 's' then
    execute format('alter table %s alter column %I drop expression', p_table, p_column);
  elsif v_column.attgenerated <> '' then
    execute format('alter table %1$s add column stored_before_moonguard %3$s; update %1$s set stored_before_moonguard = %2$I;
      alter table %1$s drop column %2$I; alter table %1$s rename column stored_before_moonguard to %2$I',
      p_table, p_column, pg_catalog.format_type(v_column.atttypid, v_column.atttypmod));
  else
    execute format('alter table %s alter column %I drop default', p_table, p_column);
  end if;
end
$$;

-- Ids are uuids. Others stay in a column of their own, which rows made from now on need not have; where keys point at them
-- they stay the primary key and are made by the database.
create function moonguard.set_id_aside(p_table regclass, p_type text) returns void
language plpgsql set search_path = '' as $$
declare
  v_key text := (select conname from pg_catalog.pg_constraint where conrelid = p_table and contype = 'p');
  v_fills_itself boolean := (select atthasdef or attidentity <> '' from pg_catalog.pg_attribute where attrelid = p_table and attname = 'id');
  v_next bigint;
begin
  execute format('alter table %s rename column id to id_before_moonguard', p_table);
  perform moonguard.report_finding(moonguard.table_name(p_table), null, 'id was ' || p_type, 'corrected: new ids; the earlier ones are in id_before_moonguard');
  begin
    if v_key is not null then
      execute format('alter table %1$s drop constraint %2$I; alter table %1$s add unique (id_before_moonguard)', p_table, v_key);
    end if;
    if not v_fills_itself then
      execute format('alter table %s alter column id_before_moonguard drop not null', p_table);
    end if;
  exception when dependent_objects_still_exist then
    if not v_fills_itself and p_type in ('smallint', 'integer', 'bigint') then
      execute format('select greatest(max(id_before_moonguard), 0) + 1 from %s', p_table) into v_next;
      execute format('alter table %s alter column id_before_moonguard add generated by default as identity (start with %s)', p_table, v_next);
    elsif not v_fills_itself then
      execute format('alter table %s alter column id_before_moonguard set default moonguard.uuid_v7()::text', p_table);
    end if;
  end;
end
$$;

-- Gives a table of an earlier version the columns of the wanted one: missing ones with their default, others in their
-- type. Defaults and NOT NULL follow in finish_adoption(), when the rows have been put right.
create function moonguard.adopt_columns(p_table regclass, p_wanted regclass) returns void
language plpgsql set search_path = '' as $$
declare
  v_id_type text := (select pg_catalog.format_type(atttypid, atttypmod) from pg_catalog.pg_attribute where attrelid = p_table and attname = 'id');
  v_column record;
begin
  if v_id_type <> 'uuid' then
    perform moonguard.set_id_aside(p_table, v_id_type);
  end if;

  -- First all of them: a column may be computed from another whose type changes.
  perform moonguard.stop_filling(p_table, e.attname)
  from pg_catalog.pg_attribute e
  join pg_catalog.pg_attribute w on w.attrelid = p_wanted and w.attname = e.attname and w.attnum > 0
  where e.attrelid = p_table and e.attnum > 0 and not e.attisdropped;

  for v_column in
    select w.attname as name, pg_catalog.format_type(w.atttypid, w.atttypmod) as type, e.attname is null as is_missing,
      pg_catalog.format_type(e.atttypid, e.atttypmod) as earlier_type,
      (select ' default ' || pg_catalog.pg_get_expr(d.adbin, d.adrelid) from pg_catalog.pg_attrdef d where d.adrelid = w.attrelid and d.adnum = w.attnum) as default_clause
    from pg_catalog.pg_attribute w
    left join pg_catalog.pg_attribute e on e.attrelid = p_table and e.attname = w.attname and not e.attisdropped
    where w.attrelid = p_wanted and w.attnum > 0 and not w.attisdropped
    order by w.attnum
  loop
    if v_column.is_missing then
      -- Of a row that was there before, other columns tell better than now() when it was made.
      execute format('alter table %s add column %I %s%s', p_table, v_column.name, v_column.type,
        case when v_column.name not in ('created_at', 'updated_at', 'triggered_at', 'executed_at') then v_column.default_clause end);
    elsif v_column.earlier_type <> v_column.type then
      perform moonguard.convert_column(p_table, v_column.name, v_column.earlier_type, v_column.type);
    end if;
  end loop;
end
$$;
