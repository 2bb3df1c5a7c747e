import { setTimeout as sleep } from 'node:timers/promises';
import type { Client } from 'pg';
import type { PolicyExecutionInput } from '../../src/policy/policyLogInput.ts';
import { monotonicMs } from '../clock.ts';
import { executionsOf } from '../policy-log/rows.ts';
import { startProcessorClock } from '../processorTime.ts';
import type { Variant } from '../rounds.ts';
import { percentile } from '../statistics.ts';
import type { Sequenced } from './benchSequencer.ts';
import { connect } from './inserts.ts';
import { insertRow, readLeafIndexes, readTreeSize } from './rows.ts';
import { openSequencerBeside } from './sequencerBeside.ts';

const ROWS_PER_SECOND = 1_000;
const CLIENTS = 16;

/** Milliseconds from the commit of a row to the commit of the first checkpoint over it, while rows come at a steady pace. */
export const checkpoints: Variant = {
  name: 'checkpoint',
  unit: 'ms at p99',
  open: async (benchDatabase) => {
    const { db } = await benchDatabase.open();
    const sequencer = await openSequencerBeside(benchDatabase);
    const clients = await connect(benchDatabase, CLIENTS);
    return async (n) => {
      const rows = executionsOf(n);
      const sizeBefore = await readTreeSize(db);
      await sequencer.start(n);
      const processorTime = startProcessorClock(benchDatabase.server?.databaseName);
      const committed = await insertAtPace(clients, rows);
      const signed = await sequencer.finish();
      const measured = processorTime(n);
      const times = timesOf(committed, await readLeafIndexes(db, sizeBefore), signed);
      if (times.length !== n) throw new Error(`${times.length} of ${n} rows are in the tree.`);
      const p99 = percentile(times, 0.99);
      return {
        figure: p99,
        times: { p50: percentile(times, 0.5), p95: percentile(times, 0.95), p99 },
        processorTime: measured,
      };
    };
  },
};

/** By correlation id, when each row's commit was answered. */
async function insertAtPace(
  clients: readonly Client[],
  rows: readonly PolicyExecutionInput[],
): Promise<ReadonlyMap<string, number>> {
  const committed = new Map<string, number>();
  const startedAt = performance.now();
  const due = rows.entries();
  await Promise.all(
    clients.map(async (client) => {
      for (const [place, row] of due) {
        const dueIn = startedAt + (place * 1_000) / ROWS_PER_SECOND - performance.now();
        if (dueIn > 0) await sleep(dueIn);
        await insertRow(client, row);
        committed.set(row.correlationId ?? '', monotonicMs());
      }
    }),
  );
  return committed;
}

function timesOf(
  committed: ReadonlyMap<string, number>,
  leafIndexes: ReadonlyMap<string, number>,
  { checkpoints: signed }: Sequenced,
): number[] {
  return Array.from(leafIndexes, ([row, index]) => {
    const first = signed.find(({ size }) => size > index);
    const committedAt = committed.get(row);
    if (first === undefined || committedAt === undefined) throw new Error('A leaf is under no checkpoint, or no row.');
    // A row may be under a signature before its client has heard of its commit.
    return Math.max(0, first.signedAt - committedAt);
  });
}
