import { openBullmq } from '../queues/bullmq.ts';
import { openGraphileWorker } from '../queues/graphileWorker.ts';
import { openPgBoss } from '../queues/pgBoss.ts';
import { isRedisInstalled } from '../queues/redis.ts';
import type { Variant } from '../rounds.ts';
import { type PeerOptions, peer } from './peer.ts';
import { CONCURRENCY, type DeliveryScenario } from './scenario.ts';

const pgBoss: readonly PeerOptions[] = [
  { name: 'pg-boss', style: 'tuned', openQueue: (url) => openPgBoss(url, { batchSize: 500 }) },
  { name: 'pg-boss-documented', style: 'documented', openQueue: (url) => openPgBoss(url, { batchSize: CONCURRENCY }) },
];

/** As its page about performance advises. */
const batching = { localQueue: { size: 500 }, completeJobBatchDelay: 0 };
const graphileSettings = { concurrentJobs: CONCURRENCY, maxPoolSize: 10, ...batching };

const graphileWorker: readonly PeerOptions[] = (['tuned', 'documented'] as const).map((style) => ({
  name: style === 'tuned' ? 'graphile-worker' : 'graphile-worker-documented',
  style,
  openQueue: (url) => openGraphileWorker(url, graphileSettings),
}));

const bullmq: readonly PeerOptions[] = (['tuned', 'documented'] as const).map((style) => ({
  name: style === 'tuned' ? 'bullmq' : 'bullmq-documented',
  style,
  openQueue: () => openBullmq({ concurrency: CONCURRENCY }),
}));

/** The queues that one would otherwise put under webhooks, each as documented and tuned; and what is left out, and why. */
export function peers(scenario: DeliveryScenario): { readonly variants: Variant[]; readonly leftOut: string[] } {
  const { server } = scenario.database;
  if (server === undefined) return { variants: [], leftOut: ['The peers need PostgreSQL.'] };
  if (scenario.name === 'endpoints') return { variants: [], leftOut: ['The peers know no endpoints.'] };
  const leftOut: string[] = [];
  // Its rate would say nothing else.
  if (scenario.name === 'failing')
    leftOut.push('graphile-worker waits 2.7 s before it tries again: no setting changes it.');
  if (!isRedisInstalled()) leftOut.push('bullmq needs a redis-server, and none is installed.');
  const measured = [
    ...pgBoss,
    ...(scenario.name === 'failing' ? [] : graphileWorker),
    ...(isRedisInstalled() ? bullmq : []),
  ];
  return { variants: measured.map((options) => peer(scenario, server.url, options)), leftOut };
}
