import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { RowToErase } from './readRowsToErase.ts';

export interface ErasedRow extends Pick<RowToErase, 'id' | 'executedAt' | 'leafIndex'> {
  /** Of its groups, in base64; undefined while it is not in the tree. */
  readonly commitments: Readonly<Record<string, string>> | undefined;
  readonly salts: Buffer | undefined;
}

/** Takes what may be about a person out of rows, with the salts of it, and says so in the log. */
export async function erasePolicyLogs(
  transaction: Db,
  { runId, reason, rows }: { readonly runId: string; readonly reason: string; readonly rows: readonly ErasedRow[] },
): Promise<void> {
  const given = rows.map(({ id, executedAt, leafIndex, commitments, salts }) => ({
    id,
    executed_at: executedAt,
    leaf_index: leafIndex,
    commitments,
    salts: salts?.toString('hex'),
  }));
  await sql`select moonguard.erase_policy_logs(${runId}::uuid, ${reason}, ${JSON.stringify(given)}::jsonb)`.execute(
    transaction,
  );
}
