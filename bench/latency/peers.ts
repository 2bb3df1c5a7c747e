import { setTimeout as sleep } from 'node:timers/promises';
import type { Database } from '../../src/database/database.ts';
import { makeEvents } from '../delivery/events.ts';
import { checkAttempts } from '../queues/attemptLog.ts';
import { openBullmq } from '../queues/bullmq.ts';
import { openGraphileWorker } from '../queues/graphileWorker.ts';
import type { DeliveryJob } from '../queues/jobQueue.ts';
import { openPeer, type Peer, type PeerRound } from '../queues/peer.ts';
import { openPgBoss } from '../queues/pgBoss.ts';
import { isRedisInstalled } from '../queues/redis.ts';
import type { Measurement } from '../rounds.ts';
import { measureArrivals } from './arrivals.ts';
import { CONNECTIONS, type LatencyScenario, type LatencyVariant } from './scenario.ts';

/** As graphile-worker's page about performance has it. */
const graphileSettings = {
  concurrentJobs: 24,
  maxPoolSize: 25,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
};

/** Each with the best of the settings tried. */
const onPostgres: readonly Peer[] = [
  {
    name: 'graphile-worker',
    style: 'tuned',
    openQueue: (url) => openGraphileWorker(url, graphileSettings),
  },
  {
    name: 'pg-boss',
    style: 'tuned',
    openQueue: (url) => openPgBoss(url, { batchSize: 10, localConcurrency: 10, notify: true }),
  },
];
const bullmq: Peer = { name: 'bullmq', style: 'tuned', openQueue: () => openBullmq({ concurrency: 64 }) };

/** From a job's being added to its arrival; and what is left out, and why. */
export function peers(database: Database['kind']): {
  readonly variants: LatencyVariant[];
  readonly leftOut: string[];
} {
  if (database === 'embedded') return { variants: [], leftOut: ['the peers: they need PostgreSQL'] };
  const withRedis = isRedisInstalled();
  return {
    variants: [...onPostgres, ...(withRedis ? [bullmq] : [])].map(peerVariant),
    leftOut: withRedis ? [] : ['bullmq: no redis-server is installed'],
  };
}

function peerVariant(peer: Peer): LatencyVariant {
  return {
    name: peer.name,
    open: async (whole) => {
      const measure = await openPeer(peer, { ...whole, connections: CONNECTIONS });
      const added = makeEvents(whole.events);
      return (round) => measure([], (begun) => measureRound(round, added.slice(0, round.events), begun));
    },
  };
}

async function measureRound(
  scenario: LatencyScenario,
  added: readonly DeliveryJob[],
  { queue, deliver, pool }: PeerRound,
): Promise<Measurement> {
  await queue.start(deliver);
  const measurement = await measureArrivals({ ...scenario, redisProcessId: queue.redisProcessId }, async (place) => {
    const job = added[place];
    if (job === undefined) throw new Error(`There is no event ${place}.`);
    await queue.add(job);
    return `evt_${job.eventId}`;
  });
  while ((await queue.countUnfinished()) > 0) await sleep(5);
  await checkAttempts(pool, { delivered: added.length, retry: 0 });
  return measurement;
}
