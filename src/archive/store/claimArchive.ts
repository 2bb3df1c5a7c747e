import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/**
 * Makes a run the one that writes an archive, or keeps it so, for the next `leaseMs`; false while another run is it, or
 * when it is verified: what may be all there is of its rows is never written again.
 */
export async function claimArchive(
  db: Db,
  { id, runId, leaseMs }: { readonly id: string; readonly runId: string; readonly leaseMs: number },
): Promise<boolean> {
  const { rows } = await sql`
    update moonguard.archives set claimed_by = ${runId}::uuid, claimed_until = now() + ${leaseMs} * interval '1 ms'
    where id = ${id}::uuid and state <> 'verified' and (claimed_by is null or claimed_by = ${runId}::uuid or claimed_until < now())
    returning id
  `.execute(db);
  return rows.length > 0;
}

/** Another run need not wait. */
export async function releaseArchives(db: Db, runId: string): Promise<void> {
  await sql`
    update moonguard.archives set claimed_by = null, claimed_until = null where claimed_by = ${runId}::uuid
  `.execute(db);
}
