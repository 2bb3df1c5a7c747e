import { startProcessorClock } from '../processorTime.ts';
import type { Measurement } from '../rounds.ts';
import { percentile } from '../statistics.ts';
import type { IngestScenario } from './scenario.ts';

/** Posts new events to a server in this process, as many at a time as there are connections. */
export async function measurePosts({ events, load, server }: IngestScenario, url: string): Promise<Measurement> {
  await load.prepare(url, events);
  const processorTime = startProcessorClock(server?.databaseName);
  const { durationMs, times } = await load.post();
  return {
    figure: (events / durationMs) * 1000,
    times: { p50: percentile(times, 0.5), p95: percentile(times, 0.95), p99: percentile(times, 0.99) },
    processorTime: processorTime(events),
  };
}
