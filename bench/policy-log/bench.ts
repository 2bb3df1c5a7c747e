import type { Database } from '../../src/database/database.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import type { PolicyExecutionInput } from '../../src/policy/policyLogInput.ts';
import { startProcessorClock } from '../processorTime.ts';
import { openProduct } from '../product.ts';
import type { Bench, Measurement, Variant } from '../rounds.ts';
import { addPolicies, countRows, executionsOf } from './rows.ts';

/** Rows in a call of `batch`, and how many calls there are at a time: the next is read while one commits. */
const BATCH = 500;
const BATCHES = 3;
/** Callers of `single`, each of whom waits for its row before it logs the next one. */
const CALLERS = 64;

/** Rows a second that `logPolicyExecution` commits from one process. */
export function policyLogBench(): Bench {
  return {
    unit: 'rows/s',
    limit: 'batch',
    variants: [
      variant('batch', async (policies, executions) => {
        const batches = chunksOf(executions, BATCH).values();
        await inParallel(BATCHES, async () => {
          for (const batch of batches) await policies.logPolicyExecution(batch);
        });
      }),
      variant('single', async (policies, executions) => {
        const waiting = executions.values();
        await inParallel(CALLERS, async () => {
          for (const execution of waiting) await policies.logPolicyExecution(execution);
        });
      }),
    ],
    least: { batch: 12_000, single: 4_000 },
  };
}

function variant(
  name: string,
  log: (policies: PolicyService, executions: readonly PolicyExecutionInput[]) => Promise<void>,
): Variant {
  return {
    name,
    open: async ({ open, server }) => {
      const database = await open();
      const { policies } = await openProduct(database);
      await addPolicies(policies);
      return (n) => measure(database, server?.databaseName, executionsOf(n), (rows) => log(policies, rows));
    },
  };
}

async function measure(
  { db }: Database,
  databaseName: string | undefined,
  executions: readonly PolicyExecutionInput[],
  log: (executions: readonly PolicyExecutionInput[]) => Promise<void>,
): Promise<Measurement> {
  const before = await countRows(db);
  const processorTime = startProcessorClock(databaseName);
  const startedAt = performance.now();
  await log(executions);
  const seconds = (performance.now() - startedAt) / 1000;
  const measurement = { figure: executions.length / seconds, processorTime: processorTime(executions.length) };
  const logged = (await countRows(db)) - before;
  if (logged !== executions.length) throw new Error(`${logged} of ${executions.length} rows are in the log.`);
  return measurement;
}

function chunksOf<T>(values: readonly T[], size: number): T[][] {
  return Array.from({ length: Math.ceil(values.length / size) }, (_, place) =>
    values.slice(place * size, (place + 1) * size),
  );
}

async function inParallel(times: number, work: () => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: times }, work));
}
