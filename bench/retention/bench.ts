import type { Database, Db } from '../../src/database/database.ts';
import { RetentionService } from '../../src/retention/RetentionService.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { startProcessorClock } from '../processorTime.ts';
import type { Bench, Measurement, Variant } from '../rounds.ts';
import { addExpiredRows, countExpiredRows } from './rows.ts';
import { type InsertStream, insertSteadily } from './steadyInserts.ts';

const INSERTS_PER_SECOND = 500;
/** Of an undisturbed round: as long as the removal takes, or so. */
const INSERTS_PER_EXPIRED_ROW = 1 / 100;

/** Milliseconds that an insert into the policy log takes while expired rows are removed, and while nothing is. */
export function retentionBench(): Bench {
  return {
    unit: 'ms at p99',
    limit: 'undisturbed',
    variants: [duringCleanup, undisturbed],
    // Twice as long at most.
    leastShare: { undisturbed: { of: 'during-cleanup', share: 0.5 } },
  };
}

const duringCleanup: Variant = {
  name: 'during-cleanup',
  open: async ({ open, server }) => {
    const database = await open();
    const retention = new RetentionService({ database, runtime: systemRuntime, settings: {} });
    return async (n) => {
      await addExpiredRows(database.db, n);
      return measure(database, server?.databaseName, async (inserts) => {
        const { status, policyLogs } = await retention.run();
        const removed = policyLogs.reduce((sum, { rows }) => sum + rows, 0);
        if (status !== 'finished' || removed !== n) throw new Error(`${removed} of ${n} rows were removed: ${status}.`);
        if ((await countExpiredRows(database.db)) > 0) throw new Error('There are expired rows left.');
        await inserts.atLeast(1);
      });
    };
  },
};

const undisturbed: Variant = {
  name: 'undisturbed',
  open: async ({ open, server }) => {
    const database = await open();
    let isFilled = false;
    return async (n) => {
      if (!isFilled) await addExpiredRows(database.db, n);
      isFilled = true;
      return measure(database, server?.databaseName, (inserts) =>
        inserts.atLeast(Math.ceil(n * INSERTS_PER_EXPIRED_ROW)),
      );
    };
  },
};

/** Times inserts that come steadily while `meanwhile` goes on. */
async function measure(
  { db }: Database,
  databaseName: string | undefined,
  meanwhile: (inserts: InsertStream) => Promise<void>,
): Promise<Measurement> {
  await warmUp(db);
  const processorTime = startProcessorClock(databaseName);
  const inserts = insertSteadily(db, INSERTS_PER_SECOND);
  try {
    await meanwhile(inserts);
  } finally {
    inserts.stop();
  }
  const times = await inserts.times();
  return { figure: times.p99, times, processorTime: processorTime(times.count) };
}

/** Connects, which the first inserts would wait for. */
async function warmUp(db: Db): Promise<void> {
  const inserts = insertSteadily(db, INSERTS_PER_SECOND);
  await inserts.atLeast(INSERTS_PER_SECOND);
  inserts.stop();
  await inserts.times();
}
