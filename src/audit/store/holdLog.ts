import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { SignedTree } from './leadLog.ts';

/** The tree as it was last signed, which nobody signs anew until the end of the transaction. */
export async function holdLog(transaction: Db): Promise<SignedTree> {
  const { size, ...tree } = await transaction
    .selectFrom('moonguard.audit_log')
    .select([sql<string>`tree_size::text`.as('size'), 'root', 'checkpoint', 'verifier_key as verifierKey'])
    .forNoKeyUpdate()
    .executeTakeFirstOrThrow();
  return { ...tree, size: BigInt(size) };
}
