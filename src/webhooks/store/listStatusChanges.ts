import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { EndpointStatus, StatusChange } from '../endpoint.ts';

/** The newest first. @param cursor id of the change with which the page before ended */
export function listStatusChanges(
  db: Db,
  endpointId: string,
  cursor: string | undefined,
  limit: number,
): Promise<StatusChange[]> {
  let query = db
    .selectFrom('moonguard.endpoint_status_changes')
    .select([
      sql<string>`id::text`.as('id'),
      'at',
      sql<EndpointStatus | null>`from_status`.as('from'),
      sql<EndpointStatus>`to_status`.as('to'),
      'reason',
      'actor',
    ])
    .where('endpoint_id', '=', endpointId);
  if (cursor !== undefined) query = query.where(sql<boolean>`id < ${cursor}::bigint`);
  return query.orderBy(sql.ref('endpoint_status_changes.id'), 'desc').limit(limit).execute();
}
