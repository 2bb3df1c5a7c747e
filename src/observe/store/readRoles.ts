import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface RoleFacts {
  readonly role: string;
  readonly exists: boolean;
  /** Whether the program may act as this role, for the time of a transaction. */
  readonly canSwitch: boolean;
}

/** The roles that Row Level Security speaks of. PostgreSQL 16 split the right to SET ROLE off membership. */
export async function readRoles(db: Db): Promise<RoleFacts[]> {
  const { rows } = await sql<RoleFacts>`
    select wanted.role, r.oid is not null as exists,
      coalesce(pg_has_role(r.oid,
        case when current_setting('server_version_num')::integer >= 160000 then 'SET' else 'MEMBER' end), false) as "canSwitch"
    from unnest(array['anon', 'authenticated', 'service_role']) as wanted (role)
    left join pg_catalog.pg_roles r on r.rolname = wanted.role
    order by wanted.role
  `.execute(db);
  return rows;
}
