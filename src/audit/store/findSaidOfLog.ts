import type { Db } from '../../database/database.ts';

/** What is said about the log: its last checkpoint, and what it is verified with. */
export interface SaidOfLog {
  readonly checkpoint: string | null;
  readonly verifierKey: string | null;
}

export async function findSaidOfLog(db: Db): Promise<SaidOfLog> {
  return db
    .selectFrom('moonguard.audit_log')
    .select(['checkpoint', 'verifier_key as verifierKey'])
    .executeTakeFirstOrThrow();
}
