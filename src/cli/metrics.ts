import type { Config } from '../config.ts';
import type { ServedMetrics } from '../http/metricsRoute.ts';
import { createMetrics, type Metrics } from '../observe/metrics.ts';
import type { Observe } from '../observe/observation.ts';

type MetricsSettings = Pick<Config, 'metricsToken'>;

/** Counts whatever is told, where the settings want metrics. */
export function countBeside(
  tell: Observe,
  { metricsToken }: MetricsSettings,
  ...readers: Parameters<typeof createMetrics>
): { readonly observe: Observe; readonly metrics: Metrics | undefined } {
  if (metricsToken === undefined) return { observe: tell, metrics: undefined };
  const metrics = createMetrics(...readers);
  return {
    metrics,
    observe: (observation) => {
      metrics.observe(observation);
      tell(observation);
    },
  };
}

export function served(
  metrics: Pick<Metrics, 'read'> | undefined,
  { metricsToken }: MetricsSettings,
): ServedMetrics | undefined {
  if (metrics === undefined || metricsToken === undefined) return undefined;
  return { token: metricsToken, read: () => metrics.read() };
}
