import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ClaimedWitness {
  /** How many leaves it has cosigned, as far as is known. */
  readonly knownSize: bigint;
  /** The newest checkpoint of the log, and its size. */
  readonly checkpoint: string;
  readonly size: bigint;
}

/**
 * Takes a witness to show the newest checkpoint to it: for a minute, nobody else does. Undefined when it has seen that, was
 * asked less than 5 seconds ago, or is to be left alone for longer after failures.
 */
export async function claimWitness(db: Db, verifierKey: string): Promise<ClaimedWitness | undefined> {
  const { rows } = await sql<{ knownSize: string; checkpoint: string; size: string }>`
    insert into moonguard.audit_witnesses as w (verifier_key, next_at)
    select ${verifierKey}, now() + interval '1 minute' from moonguard.audit_log where checkpoint is not null
    on conflict (verifier_key) do update set next_at = excluded.next_at
    where w.next_at <= now() and w.checkpoint is distinct from (select checkpoint from moonguard.audit_log)
    returning w.tree_size::text as "knownSize", (select checkpoint from moonguard.audit_log) as checkpoint,
      (select tree_size::text from moonguard.audit_log) as size
  `.execute(db);
  const [claimed] = rows;
  if (claimed === undefined) return undefined;
  return { ...claimed, knownSize: BigInt(claimed.knownSize), size: BigInt(claimed.size) };
}
