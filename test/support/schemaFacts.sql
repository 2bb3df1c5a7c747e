with ours as (
  select c.oid, c.relname, n.nspname, c.relkind, c.relrowsecurity, c.relforcerowsecurity, c.reloptions, c.relacl, c.relowner,
    format('%s.%s', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'p', 'v', 'm', 'S')
    and (n.nspname in ('moonguard', 'moonguard_partitions') or (n.nspname = 'public' and c.relname like 'moonpay\_%'))
), our_function as (
  select p.*, format('%s.%s(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid)) as name
  from pg_proc p join pg_namespace n on n.oid = p.pronamespace
  where n.nspname = 'moonguard' or (n.nspname = 'public' and p.proname like '%moonpay%')
), grantee as (
  select 0::oid as oid, 'public' as name union all select oid, rolname from pg_roles
)
select format('%s %s rls %s forced %s %s', relkind, name, relrowsecurity, relforcerowsecurity, reloptions) as fact from ours
union all
select format('column %s.%s %s%s default %s identity %s generated %s', ours.name, a.attname, format_type(a.atttypid, a.atttypmod),
  case when a.attnotnull then ' not null' else '' end, pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated)
from ours join pg_attribute a on a.attrelid = ours.oid and a.attnum > 0 and not a.attisdropped
left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
union all
-- PostgreSQL 18 keeps NOT NULL as a constraint too; the column says it.
select format('constraint %s.%s %s', ours.name, c.conname, pg_get_constraintdef(c.oid))
from ours join pg_constraint c on c.conrelid = ours.oid where c.contype <> 'n'
union all
select format('index %s %s', regexp_replace(pg_get_indexdef(i.indexrelid), ' INDEX .*? ON ', ' INDEX ON '), case when i.indisvalid then '' else 'invalid' end) from ours join pg_index i on i.indrelid = ours.oid
union all
select format('trigger %s enabled %s', pg_get_triggerdef(t.oid), t.tgenabled) from ours join pg_trigger t on t.tgrelid = ours.oid where not t.tgisinternal
union all
select format('policy %s.%s %s permissive %s to %s using %s check %s', ours.name, p.polname, p.polcmd, p.polpermissive,
  (select string_agg(grantee.name, ',' order by grantee.name) from grantee where grantee.oid = any (p.polroles)),
  pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid))
from ours join pg_policy p on p.polrelid = ours.oid
union all
select format('view %s as %s', name, pg_get_viewdef(oid)) from ours where relkind in ('v', 'm')
union all
select format('comment on %s.%s: %s', ours.name, a.attname, d.description)
from ours join pg_description d on d.objoid = ours.oid and d.classoid = 'pg_class'::regclass
left join pg_attribute a on a.attrelid = ours.oid and a.attnum = d.objsubid and d.objsubid > 0
union all
select format('grant on %s: %s to %s%s', ours.name, g.privilege_type, grantee.name, case when g.is_grantable then ' with grant option' else '' end)
from ours, aclexplode(ours.relacl) g join grantee on grantee.oid = g.grantee where g.grantee <> ours.relowner
union all
select format('grant on %s.%s: %s to %s', ours.name, a.attname, g.privilege_type, grantee.name)
from ours join pg_attribute a on a.attrelid = ours.oid, aclexplode(a.attacl) g join grantee on grantee.oid = g.grantee
union all
select format('function %s returns %s definer %s volatile %s config %s body %s', name, pg_get_function_result(oid), prosecdef, provolatile, proconfig, md5(prosrc))
from our_function
union all
select format('grant on %s: %s to %s', our_function.name, g.privilege_type, grantee.name)
from our_function, aclexplode(coalesce(our_function.proacl, acldefault('f', our_function.proowner))) g join grantee on grantee.oid = g.grantee
where g.grantee <> our_function.proowner
union all
select format('grant on schema %s: %s to %s', n.nspname, g.privilege_type, grantee.name)
from pg_namespace n, aclexplode(n.nspacl) g join grantee on grantee.oid = g.grantee
where n.nspname in ('moonguard', 'moonguard_partitions') and g.grantee <> n.nspowner
