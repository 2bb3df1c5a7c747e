import { setTimeout as sleep } from 'node:timers/promises';
import { monotonicMs } from '../clock.ts';
import { startProcessorClock } from '../processorTime.ts';
import { checkReceived } from '../receiver.ts';
import type { Measurement } from '../rounds.ts';
import { percentile } from '../statistics.ts';
import type { LatencyScenario } from './scenario.ts';

const GIVE_UP_AFTER_MS = 60_000;
/** Of the events: they arrive first and are not timed. What emptying the tables made of every plan is no latency of an event. */
const WARM_UP = 1 / 5;

/**
 * Hands events over at a steady pace, whether or not the ones before have arrived, and times each until it has, but for the
 * first ones.
 * @param handOver resolves to the `webhook-id` that the event arrives with
 */
export async function measureArrivals(
  { events, eventsPerSecond, receiver, database, redisProcessId }: LatencyScenario,
  handOver: (place: number) => Promise<string>,
): Promise<Measurement> {
  await receiver.takeReceived();
  const processorTime = startProcessorClock(database.server?.databaseName, redisProcessId);
  const startedAt = monotonicMs();
  const handedOver: Promise<{ id: string; at: number }>[] = [];
  for (let place = 0; place < events; place++) {
    const dueIn = startedAt + (place * 1_000) / eventsPerSecond - monotonicMs();
    if (dueIn > 0) await sleep(dueIn);
    const at = monotonicMs();
    handedOver.push(handOver(place).then((id) => ({ id, at })));
  }
  const sent = await Promise.all(handedOver);
  const arrivals = await receivedInTime({ events, receiver });
  const times = sent.slice(Math.floor(events * WARM_UP)).map(({ id, at }) => (arrivals.get(id) ?? Number.NaN) - at);
  const p50 = percentile(times, 0.5);
  return {
    figure: p50,
    times: { p50, p95: percentile(times, 0.95), p99: percentile(times, 0.99) },
    processorTime: processorTime(events),
  };
}

/** When each event came, by its `webhook-id`. Throws unless every event comes once. */
async function receivedInTime({
  events,
  receiver,
}: Pick<LatencyScenario, 'events' | 'receiver'>): Promise<Map<string, number>> {
  const arrivals = new Map<string, number>();
  let requests = 0;
  const deadline = monotonicMs() + GIVE_UP_AFTER_MS;
  while (arrivals.size < events && monotonicMs() < deadline) {
    const received = await receiver.takeReceived();
    requests += received.requests;
    for (const [id, at] of received.arrivals) arrivals.set(id, at);
    await sleep(10);
  }
  checkReceived({ requests, refused: 0, arrivals }, events);
  return arrivals;
}
