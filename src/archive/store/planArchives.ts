import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ArchivesToPlan {
  /** Its first day. */
  readonly month: string;
  /** Leaves of the tree that is signed: those of rows that came later are for a later part. */
  readonly treeSize: bigint;
}

/**
 * Classes of a month that have rows which no archive is planned for yet: all of them in one statement, so that nothing
 * below the greatest to_leaf of a month is ever without one.
 */
export async function listUnplannedClasses(transaction: Db, { month, treeSize }: ArchivesToPlan): Promise<string[]> {
  await sql`select pg_advisory_xact_lock(hashtextextended('moonguard.archives', 0))`.execute(transaction);
  const { rows } = await sql<{ retentionClass: string }>`
    with bounds as (
      select ${month}::timestamp at time zone 'UTC' as first, (${month}::timestamp + interval '1 month') at time zone 'UTC' as last,
        (select coalesce(max(to_leaf), 0) from moonguard.archives where month = ${month}::date) as from_leaf
    )
    select distinct l.retention_class as "retentionClass"
    from bounds b
    join moonguard.audit_leaves a on a.executed_at >= b.first and a.executed_at < b.last
      and a.leaf_index >= b.from_leaf and a.leaf_index < ${String(treeSize)}
    join public.moonpay_policy_logs l on l.id = a.row_id and l.executed_at = a.executed_at
      and l.executed_at >= b.first and l.executed_at < b.last
    order by 1
  `.execute(transaction);
  return rows.map(({ retentionClass }) => retentionClass);
}

export interface NewArchive extends ArchivesToPlan {
  readonly id: string;
  readonly retentionClass: string;
  /** Undefined: not encrypted. */
  readonly sealedKey: Buffer | undefined;
  readonly sealedKeyId: string | undefined;
}

/** The next part of a class and month. */
export async function insertArchive(transaction: Db, archive: NewArchive): Promise<void> {
  const { id, retentionClass, month, treeSize, sealedKey, sealedKeyId } = archive;
  await sql`
    insert into moonguard.archives (id, retention_class, month, part, from_leaf, to_leaf, is_encrypted, sealed_key, sealed_key_id)
    select ${id}::uuid, ${retentionClass}, ${month}::date, coalesce(max(part), 0) + 1, coalesce(max(to_leaf), 0),
      ${String(treeSize)}::bigint, ${sealedKey !== undefined}, ${sealedKey ?? null}::bytea, ${sealedKeyId ?? null}
    from moonguard.archives where retention_class = ${retentionClass} and month = ${month}::date
  `.execute(transaction);
}
