import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Keeps a witness's cosignatures of the checkpoint it was shown; the next one may be shown in 5 seconds. */
export async function saveCosignatures(
  db: Db,
  verifierKey: string,
  {
    size,
    checkpoint,
    cosignatures,
  }: { readonly size: bigint; readonly checkpoint: string; readonly cosignatures: string },
): Promise<void> {
  await sql`
    update moonguard.audit_witnesses set tree_size = ${String(size)}, checkpoint = ${checkpoint}, cosignatures = ${cosignatures},
      cosigned_at = now(), failures_count = 0, failure_reason = null, next_at = now() + interval '5 seconds'
    where verifier_key = ${verifierKey}
  `.execute(db);
}
