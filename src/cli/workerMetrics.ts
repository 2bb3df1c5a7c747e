import type { ChildProcess } from 'node:child_process';
import { z } from 'zod';
import { addUp, type Metrics } from '../observe/metrics.ts';
import { systemRuntime } from '../runtime.ts';

/** A process that does not answer within this time is left out. */
const ANSWERED_WITHIN_MS = 3_000;

/** What goes over the channel between a supervisor and its workers. */
const requestSchema = z.object({ metricsWanted: z.string() });
const answerSchema = z.object({ metricsOf: z.string(), snapshot: z.array(z.looseObject({})) });

/** In a worker: tells its metrics whenever the process that started it asks. */
export function tellMetrics(metrics: Pick<Metrics, 'snapshot'>): void {
  process.on('message', (message) => {
    const request = requestSchema.safeParse(message);
    if (!request.success) return;
    void metrics.snapshot().then((snapshot) => process.send?.({ metricsOf: request.data.metricsWanted, snapshot }));
  });
}

/** In the supervisor: the metrics of all of them and its own, added up. */
export async function gatherMetrics(workers: Iterable<ChildProcess>, own: Pick<Metrics, 'snapshot'>): Promise<string> {
  const snapshots = await Promise.all([own.snapshot(), ...Array.from(workers, metricsOf)]);
  return addUp(snapshots);
}

function metricsOf(worker: ChildProcess): Promise<object[]> {
  const id = systemRuntime.newId();
  const { promise, resolve } = Promise.withResolvers<object[]>();
  const onMessage = (message: unknown): void => {
    const answer = answerSchema.safeParse(message);
    if (answer.success && answer.data.metricsOf === id) resolve(answer.data.snapshot);
  };
  const giveUp = (): void => resolve([]);
  const deadline = setTimeout(giveUp, ANSWERED_WITHIN_MS);
  worker.on('message', onMessage).once('exit', giveUp);
  // It may be ending.
  worker.send({ metricsWanted: id }, (error) => error && giveUp());
  return promise.finally(() => {
    clearTimeout(deadline);
    worker.off('message', onMessage).off('exit', giveUp);
  });
}
