import type { BenchArguments, BenchName } from './arguments.ts';
import type { Bench } from './rounds.ts';

/** Sets nothing up: a variant does, when it is opened. */
const benches: Readonly<Record<BenchName, (given: BenchArguments) => Promise<Bench>>> = {
  delivery: async (given) => (await import('./delivery/bench.ts')).deliveryBench(given),
  ingest: async (given) => (await import('./ingest/bench.ts')).ingestBench(given),
  latency: async (given) => (await import('./latency/bench.ts')).latencyBench(given),
  alerts: async (given) => (await import('./alerts/bench.ts')).alertsBench(given),
  policies: async () => (await import('./policies/bench.ts')).policiesBench(),
  'policy-log': async () => (await import('./policy-log/bench.ts')).policyLogBench(),
  audit: async (given) => (await import('./audit/bench.ts')).auditBench(given),
  retention: async () => (await import('./retention/bench.ts')).retentionBench(),
  history: async (given) => (await import('./history/bench.ts')).historyBench(given),
};

export function findBench(given: BenchArguments): Promise<Bench> {
  return benches[given.bench](given);
}
