import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface WitnessRecord {
  readonly verifierKey: string;
  /** How many leaves it has cosigned. */
  readonly size: number;
  /** The checkpoint with its cosignatures; null when it has cosigned none. */
  readonly checkpoint: string | null;
  readonly cosignatures: string | null;
  readonly cosignedAt: Date | null;
  /** Since it last cosigned. */
  readonly failures: number;
  readonly failureReason: string | null;
}

/** The one that has seen most first. */
export async function listWitnesses(db: Db): Promise<WitnessRecord[]> {
  const { rows } = await sql<WitnessRecord>`
    select verifier_key as "verifierKey", tree_size as size, checkpoint, cosignatures, cosigned_at as "cosignedAt",
      failures_count as failures, failure_reason as "failureReason"
    from moonguard.audit_witnesses order by tree_size desc, cosigned_at desc nulls last, verifier_key
  `.execute(db);
  return rows;
}
