import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** The tree as it was last signed. */
export interface SignedTree {
  readonly size: bigint;
  readonly root: Uint8Array;
  /** Null before the first row. */
  readonly checkpoint: string | null;
  readonly verifierKey: string | null;
}

/** The tree, and how many rows wait to get into it; no more are counted than are asked about. */
export interface LedTree extends SignedTree {
  readonly queued: number;
}

/**
 * Makes this process the one that sequences, for the next `leaseMs`, and holds the tree until the end of the transaction;
 * undefined while another process is it. Times of rows are read in UTC from here on.
 */
export async function leadLog(
  transaction: Db,
  { leader, leaseMs, mostQueued }: { readonly leader: string; readonly leaseMs: number; readonly mostQueued: number },
): Promise<LedTree | undefined> {
  const { rows } = await sql<Omit<LedTree, 'size'> & { size: string }>`
    with utc as (
      -- Whoever removes or erases rows waits meanwhile: a leaf must have its row.
      select set_config('TimeZone', 'UTC', true), pg_advisory_xact_lock_shared(hashtextextended('moonguard.policy_log_removal', 0))
    ),
    log as (
      select is_only from moonguard.audit_log, utc
      where leader is null or leader = ${leader}::uuid or leader_until < now() for no key update skip locked
    )
    update moonguard.audit_log set leader = ${leader}::uuid, leader_until = clock_timestamp() + ${leaseMs} * interval '1 ms'
    where is_only in (select is_only from log)
    returning tree_size::text as size, root, checkpoint, verifier_key as "verifierKey",
      (select count(*) from (select from moonguard.audit_queue order by id limit ${mostQueued}) as waiting) as queued
  `.execute(transaction);
  const [tree] = rows;
  return tree === undefined ? undefined : { ...tree, size: BigInt(tree.size) };
}

/** Another process need not wait for the end of the lease. */
export async function resignFromLog(db: Db, leader: string): Promise<void> {
  await sql`
    update moonguard.audit_log set leader = null, leader_until = null where leader = ${leader}::uuid
  `.execute(db);
}
