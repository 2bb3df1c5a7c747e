import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { LeafRange } from '../subtrees.ts';

/** Leaves whose rows retention has removed. */
export async function listRemovedLeaves(db: Db): Promise<LeafRange[]> {
  const { rows } = await sql<{ start: string; end: string }>`
    select lower(range)::text as start, upper(range)::text as end
    from (select unnest(range_agg(leaf_indexes)) as range from moonguard.audit_removals) as removed order by lower(range)
  `.execute(db);
  return rows.map(({ start, end }) => ({ start: BigInt(start), end: BigInt(end) }));
}
