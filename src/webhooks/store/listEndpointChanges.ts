import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { EndpointChange } from '../endpoint.ts';

/** The newest first. @param cursor id of the change with which the page before ended */
export async function listEndpointChanges(
  db: Db,
  endpointId: string,
  cursor: string | undefined,
  limit: number,
): Promise<EndpointChange[]> {
  const { rows } = await sql<EndpointChange>`
    select id, at, actor, action, before, after from moonguard.endpoint_changes
    where endpoint_id = ${endpointId} and (${cursor ?? null}::uuid is null
      or entry_number < (select entry_number from moonguard.endpoint_changes where id = ${cursor ?? null}::uuid))
    order by entry_number desc limit ${limit}
  `.execute(db);
  return rows;
}
