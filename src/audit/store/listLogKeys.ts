import type { Db } from '../../database/database.ts';

/** A key that a log was verified with for a time. */
export interface LogKeyRecord {
  readonly verifierKey: string;
  readonly since: Date;
  /** Null for the current one. */
  readonly retiredAt: Date | null;
  /** The checkpoint that it and the key before it have both signed; null for the first. */
  readonly handover: string | null;
}

/** The newest first. */
export function listLogKeys(db: Db): Promise<LogKeyRecord[]> {
  return db
    .selectFrom('moonguard.audit_keys')
    .select(['verifier_key as verifierKey', 'since', 'retired_at as retiredAt', 'handover'])
    .orderBy('since', 'desc')
    .execute();
}
