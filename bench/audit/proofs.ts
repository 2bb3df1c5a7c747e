import { randomUUID } from 'node:crypto';
import { AuditService } from '../../src/audit/AuditService.ts';
import { startProcessorClock } from '../processorTime.ts';
import type { Variant } from '../rounds.ts';
import { percentile } from '../statistics.ts';
import { openSigner } from './benchSequencer.ts';
import { fillTree, readTileBytes } from './filledTree.ts';
import { readLogIds, readTreeSize } from './rows.ts';

/** Leaves in the tree for each of N: ten million by default. */
const LEAVES = 500;
/** Rows to be proven, each once a round, for each of N. */
const PROVEN = 1 / 20;

/** Milliseconds of `prove` for rows at random places of a tree, whose tiles are filled without rows. */
export function proofs(n: number): Variant {
  return {
    name: 'proof',
    unit: 'ms',
    open: async (benchDatabase) => {
      const database = await benchDatabase.open();
      const { db } = database;
      const sequencing = { database, signer: await openSigner(db), leader: randomUUID(), leaseMs: 60_000 };
      await fillTree(sequencing, { leaves: n * LEAVES, rows: Math.ceil(n * PROVEN) });
      const logIds = await readLogIds(db);
      const bytesPerLeaf = (await readTileBytes(db)) / (await readTreeSize(db));
      const audit = new AuditService({ database });
      return async () => {
        const times: number[] = [];
        const processorTime = startProcessorClock(benchDatabase.server?.databaseName);
        for (const logId of logIds) {
          const startedAt = performance.now();
          await audit.prove(logId);
          times.push(performance.now() - startedAt);
        }
        const p50 = percentile(times, 0.5);
        return {
          figure: p50,
          times: { p50, p95: percentile(times, 0.95), p99: percentile(times, 0.99) },
          processorTime: processorTime(logIds.length),
          also: { bytesPerLeaf, gigabytesPerBillionLeaves: bytesPerLeaf },
        };
      };
    },
  };
}
