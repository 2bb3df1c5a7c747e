import { setTimeout as sleep } from 'node:timers/promises';
import { startProcessorClock } from '../processorTime.ts';
import { checkAttempts } from '../queues/attemptLog.ts';
import { openBullmq } from '../queues/bullmq.ts';
import { openGraphileWorker } from '../queues/graphileWorker.ts';
import type { Deliver } from '../queues/jobQueue.ts';
import { openPeer, type Peer, type PeerRound } from '../queues/peer.ts';
import { openPgBoss, type PgBossSettings } from '../queues/pgBoss.ts';
import { isRedisInstalled } from '../queues/redis.ts';
import type { Measurement } from '../rounds.ts';
import { makeEvents } from './events.ts';
import { checkHealthyReceived, forgetReceived } from './received.ts';
import {
  CONCURRENCY,
  type DeliveryScenario,
  type DeliverySettings,
  type DeliveryVariant,
  type ScenarioName,
} from './scenario.ts';

/** While the last jobs are being recorded as completed. */
const LOOK_EVERY_MS = 5;

const pgBoss = (scenario: ScenarioName): Peer[] => [
  { name: 'pg-boss', style: 'tuned', openQueue: (url) => openPgBoss(url, pgBossSettings(scenario)) },
  { name: 'pg-boss-documented', style: 'documented', openQueue: (url) => openPgBoss(url, { batchSize: CONCURRENCY }) },
];

/** The best of those tried. A batch waits for its slowest member: the smaller, the fewer wait; the larger, the cheaper. */
function pgBossSettings(scenario: ScenarioName): PgBossSettings {
  return scenario === 'slow' ? { batchSize: 16, localConcurrency: 32 } : { batchSize: 500, localConcurrency: 2 };
}

/** As its page about performance has it. */
const graphileSettings = {
  concurrentJobs: CONCURRENCY,
  maxPoolSize: 10,
  localQueue: { size: 500 },
  completeJobBatchDelay: 0,
};

const graphileWorker: readonly Peer[] = (['tuned', 'documented'] as const).map((style) => ({
  name: style === 'tuned' ? 'graphile-worker' : 'graphile-worker-documented',
  style,
  openQueue: (url) => openGraphileWorker(url, graphileSettings),
}));

const bullmq: readonly Peer[] = (['tuned', 'documented'] as const).map((style) => ({
  name: style === 'tuned' ? 'bullmq' : 'bullmq-documented',
  style,
  openQueue: () => openBullmq({ concurrency: CONCURRENCY, enableAutoPipelining: style === 'tuned' }),
}));

/** The queues that one would otherwise put under webhooks, each as documented and tuned; and what is left out, and why. */
export function peers({ scenario, database }: DeliverySettings): {
  readonly variants: DeliveryVariant[];
  readonly leftOut: string[];
} {
  if (database === 'embedded') return { variants: [], leftOut: ['the peers: they need PostgreSQL'] };
  if (scenario === 'endpoints') return { variants: [], leftOut: ['the peers: they know no endpoints'] };
  const leftOut: string[] = [];
  if (scenario === 'failing') {
    leftOut.push('graphile-worker: it waits 2.7 s before it tries again, its rate would say nothing else');
  }
  const withRedis = isRedisInstalled();
  if (!withRedis) leftOut.push('bullmq: no redis-server is installed');
  const measured = [
    ...pgBoss(scenario),
    ...(scenario === 'failing' ? [] : graphileWorker),
    ...(withRedis ? bullmq : []),
  ];
  return { variants: measured.map(peerVariant), leftOut };
}

function peerVariant(peer: Peer): DeliveryVariant {
  return {
    name: peer.name,
    open: async (whole) => {
      const jobs = makeEvents(whole.events);
      const measure = await openPeer(peer, whole);
      return (round) => measure(jobs.slice(0, round.events), (begun) => measureRound(round, begun));
    },
  };
}

/** Jobs that are due, until the last attempt is committed and the last job recorded as completed. */
async function measureRound(scenario: DeliveryScenario, { queue, deliver, pool }: PeerRound): Promise<Measurement> {
  const { name, events, database } = scenario;
  await forgetReceived(scenario);
  const delivered = countDelivered(events, deliver, { mayFail: name === 'failing' });

  const processorTime = startProcessorClock(database.server?.databaseName, queue.redisProcessId);
  const startedAt = performance.now();
  await queue.start(delivered.deliver);
  await delivered.all;
  while ((await queue.countUnfinished()) > 0) await sleep(LOOK_EVERY_MS);
  const seconds = (performance.now() - startedAt) / 1000;
  const measurement = { figure: events / seconds, processorTime: processorTime(events) };

  const refused = await checkHealthyReceived(scenario);
  await checkAttempts(pool, { delivered: events, retry: refused });
  return measurement;
}

/** `all` resolves when so many jobs are delivered and their attempts committed, and rejects when one fails that may not. */
function countDelivered(expected: number, deliverOne: Deliver, { mayFail }: { readonly mayFail: boolean }) {
  const { promise: all, resolve, reject } = Promise.withResolvers<void>();
  let left = expected;
  const deliver: Deliver = async (job, attemptNumber) => {
    try {
      await deliverOne(job, attemptNumber);
    } catch (error) {
      if (!mayFail) reject(error);
      throw error;
    }
    left--;
    if (left === 0) resolve();
  };
  return { all, deliver };
}
