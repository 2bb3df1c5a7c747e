import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ReservedRequests {
  /** How many may be begun; the others wait. */
  readonly granted: number;
  /** Milliseconds before the first one may be begun, and between it and the next. */
  readonly waitMs: number;
  readonly spacingMs: number;
}

/** Asks for requests to an endpoint whose requests are bounded in time: migrations/0014. */
export async function reserveRequests(
  db: Db,
  endpointId: string,
  wanted: number,
  probeMs: number,
): Promise<ReservedRequests> {
  const { rows } = await sql<ReservedRequests>`
    select granted, wait_ms as "waitMs", spacing_ms as "spacingMs"
    from moonguard.reserve_requests(${endpointId}::uuid, ${wanted}::integer, ${probeMs}::integer)
  `.execute(db);
  return rows[0] ?? { granted: 0, waitMs: 0, spacingMs: 0 };
}
