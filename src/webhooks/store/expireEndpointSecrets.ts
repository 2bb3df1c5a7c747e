import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/**
 * Lets every secret of the endpoint expire after the overlap, those that expire sooner excepted.
 * @returns when the current one expires; null when there was none
 */
export async function expireEndpointSecrets(db: Db, endpointId: string, overlapSeconds: number): Promise<Date | null> {
  const { rows } = await sql<{ expires_at: Date | null }>`
    with expiring as (
      update moonguard.endpoint_secrets
      set expires_at = least(expires_at, now() + make_interval(secs => ${overlapSeconds}::double precision))
      where endpoint_id = ${endpointId} and (expires_at is null or expires_at > now())
      returning expires_at
    )
    select max(expires_at) as expires_at from expiring
  `.execute(db);
  return rows[0]?.expires_at ?? null;
}
