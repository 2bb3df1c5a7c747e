import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../database/database.ts';
import { eraseRows } from './eraseRows.ts';
import type { RetentionReport } from './retentionReport.ts';
import { listDueErasures } from './store/listDueErasures.ts';
import { listPartitionsToErase } from './store/listPartitionsToErase.ts';
import { lockRetention } from './store/lockRetention.ts';
import { removePolicyLogs } from './store/removePolicyLogs.ts';

/** Rows in one transaction: some 40 ms, in which the sequencer waits, and nobody else. */
const REMOVED_AT_A_TIME = 2_000;
/** After each, so that commits of others reach the disk between two: without pauses their p99 is three times as long. */
const PAUSE_MS = 50;
const ERASED_AT_A_TIME = 1_000;

export interface PolicyLogRun {
  readonly runId: string;
  readonly at: Date;
}

/** Each a transaction of its own; undefined, and the end, while another session removes. */
export type RetentionSteps = AsyncGenerator<Partial<RetentionReport> | undefined, void, undefined>;

/** Removes rows of the log that are past their days, whole partitions where all of their rows are. */
export async function* removalSteps({ db }: Database, run: PolicyLogRun): RetentionSteps {
  let position: { partition: string | null; after: string | null } = { partition: null, after: null };
  do {
    const removed = await removePolicyLogs(db, { ...run, position, limit: REMOVED_AT_A_TIME });
    if (removed === undefined) {
      yield undefined;
      return;
    }
    const { action, partition, classes, nextPartition, nextAfter } = removed;
    const rowsOf = Object.entries(classes);
    if (rowsOf.length > 0) await sleep(PAUSE_MS);
    yield { policyLogs: rowsOf.map(([retentionClass, rows]) => ({ action, partition, retentionClass, rows })) };
    position = { partition: nextPartition, after: nextAfter };
  } while (position.partition !== null);
}

/** Erases what may be about a person where the class of a row says that its time is over, and the row itself stays. */
export async function* erasureSteps(database: Database, run: PolicyLogRun): RetentionSteps {
  const reason = 'The class of these rows ends personal data, and its days are over';
  for (const partition of await listPartitionsToErase(database.db, run.at)) {
    let after: string | null = null;
    do {
      const erased = await database.transaction(async (transaction) => {
        await lockRetention(transaction);
        const rows = await listDueErasures(transaction, { partition, at: run.at, after, limit: ERASED_AT_A_TIME });
        await eraseRows(transaction, { runId: run.runId, reason, rows });
        return rows;
      });
      yield {
        policyLogs: erased.map(({ retentionClass }) => ({ action: 'erase', partition, retentionClass, rows: 1 })),
      };
      after = erased.length < ERASED_AT_A_TIME ? null : (erased.at(-1)?.id ?? null);
    } while (after !== null);
  }
}
