import { randomBytes, randomInt } from 'node:crypto';
import { sql } from 'kysely';
import { signCheckpoint } from '../../src/audit/checkpoint.ts';
import { type SequencingDependencies, sequenceBatch } from '../../src/audit/sequenceBatch.ts';
import { saveTiles } from '../../src/audit/store/saveTiles.ts';
import { HASH_BYTES } from '../../src/audit/tree.ts';
import { appendLeaves, type TreeEdge } from '../../src/audit/treeEdge.ts';
import type { Db } from '../../src/database/database.ts';
import { executionsOf } from '../policy-log/rows.ts';
import { insertRows } from './rows.ts';

/** Makes a signed tree of about so many leaves, all of them noise but for those of some rows, which stand anywhere. */
export async function fillTree(
  dependencies: SequencingDependencies,
  { leaves, rows }: { readonly leaves: number; readonly rows: number },
): Promise<void> {
  let edge: TreeEdge | undefined;
  for (const row of executionsOf(rows)) {
    await insertRows(dependencies.database.db, [row]);
    const batch = await sequenceBatch(dependencies, edge);
    if (batch.outcome !== 'sequenced') throw new Error('Somebody else sequences.');
    edge = await appendNoise(dependencies, batch.edge, randomInt(Math.ceil((2 * leaves) / rows)));
  }
}

async function appendNoise(
  { database, signer }: SequencingDependencies,
  before: TreeEdge,
  count: number,
): Promise<TreeEdge> {
  const noise = randomBytes(count * HASH_BYTES);
  const leaves = Array.from({ length: count }, (_, place) =>
    noise.subarray(place * HASH_BYTES, (place + 1) * HASH_BYTES),
  );
  const { edge, tiles } = appendLeaves(before, leaves);
  await database.transaction(async (transaction) => {
    await saveTiles(transaction, tiles);
    await sql`
      update moonguard.audit_log set tree_size = ${String(edge.size)}, root = ${edge.root}, checkpoint = ${signCheckpoint(edge, signer)}
    `.execute(transaction);
  });
  return edge;
}

export async function readTileBytes(db: Db): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select pg_total_relation_size('moonguard.audit_tiles') as bytes
  `.execute(db);
  return rows[0]?.bytes ?? 0;
}
