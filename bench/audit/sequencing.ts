import { executionsOf } from '../policy-log/rows.ts';
import { startProcessorClock } from '../processorTime.ts';
import type { Variant } from '../rounds.ts';
import { openSigner, startSequencer } from './benchSequencer.ts';
import { insertRows, readTreeSize } from './rows.ts';

/** Rows in the statement that inserts them beforehand. */
const AT_ONCE = 1_000;

/** Rows a second that one process puts into the tree and signs, of those that wait already. */
export const sequencing: Variant = {
  name: 'sequencer',
  open: async (benchDatabase) => {
    const database = await benchDatabase.open();
    const signer = await openSigner(database.db);
    return async (n) => {
      const rows = executionsOf(n);
      for (let first = 0; first < n; first += AT_ONCE)
        await insertRows(database.db, rows.slice(first, first + AT_ONCE));
      const before = await readTreeSize(database.db);
      const processorTime = startProcessorClock(benchDatabase.server?.databaseName);
      const startedAt = performance.now();
      const { finished } = startSequencer(database, signer, n);
      await finished;
      const seconds = (performance.now() - startedAt) / 1000;
      const leaves = (await readTreeSize(database.db)) - before;
      if (leaves !== n) throw new Error(`${leaves} of ${n} rows are in the tree.`);
      return { figure: n / seconds, processorTime: processorTime(n) };
    };
  },
};
