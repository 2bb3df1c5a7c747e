import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { SignedTree } from './leadLog.ts';

/**
 * Swaps the signed tree for the grown one, if it is still the one that grew and the clock has not gone back; false if not.
 * The checkpoint of each minute stays, beside the last.
 */
export async function advanceLog(
  transaction: Db,
  before: SignedTree,
  after: { readonly size: bigint; readonly root: Uint8Array; readonly checkpoint: string },
): Promise<boolean> {
  const { rows } = await sql`
    with advanced as (
      update moonguard.audit_log
      set tree_size = ${String(after.size)}, root = ${Buffer.from(after.root)}, checkpoint = ${after.checkpoint}, signed_at = now()
      where tree_size = ${String(before.size)} and root = ${Buffer.from(before.root)} and coalesce(signed_at <= now(), true)
      returning date_trunc('minute', signed_at) as minute, tree_size, checkpoint
    )
    insert into moonguard.audit_checkpoints (minute, tree_size, checkpoint) select minute, tree_size, checkpoint from advanced
    on conflict (minute) do update set tree_size = excluded.tree_size, checkpoint = excluded.checkpoint
    returning minute
  `.execute(transaction);
  return rows.length > 0;
}
