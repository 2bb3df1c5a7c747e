import { Hono } from 'hono';
import { MoonguardError } from '../errors.ts';
import type { Moonguard } from '../moonguard.ts';
import type { Observe } from '../observe/observation.ts';
import { metricsRoute, type ServedMetrics } from './metricsRoute.ts';

/** What of Moonguard is served. */
export interface Served extends Pick<Moonguard, 'readiness'> {
  readonly webhooks: Pick<Moonguard['webhooks'], 'handle'>;
}

/** Routes to services; holds no rules. */
export function createApp(moonguard: Served, observe: Observe, metrics?: ServedMetrics): Hono {
  const app = new Hono();

  app.all('/webhooks/moonpay/:environment', (c) => {
    const environment = c.req.param('environment');
    if (environment !== 'sandbox' && environment !== 'production') {
      throw new MoonguardError('environment_unknown', `There is no environment ${environment}.`);
    }
    return moonguard.webhooks.handle(c.req.raw, environment);
  });

  /** The process is up; says nothing about the database. */
  app.get('/healthz', (c) => c.json({ status: 'ok' }));

  /** Whether requests can be served: the database answers and its schema is the one this program needs. */
  app.get('/readyz', async (c) => {
    const readiness = await moonguard.readiness();
    return c.json(readiness, readiness.status === 'ready' ? 200 : 503);
  });

  if (metrics !== undefined) app.route('/', metricsRoute(metrics));
  return refusing(app, observe);
}

export function createMetricsApp(metrics: ServedMetrics, observe: Observe): Hono {
  return refusing(metricsRoute(metrics), observe);
}

/** Answers what no route answers, and errors. */
function refusing(app: Hono, observe: Observe): Hono {
  app.notFound((c) => refusal(new MoonguardError('route_not_found', `There is no ${c.req.method} ${c.req.path}.`)));

  app.onError((error, c) => {
    if (error instanceof MoonguardError) return refusal(error);
    observe({ type: 'request.failed', method: c.req.method, path: c.req.path, reason: error.message });
    return refusal(new MoonguardError('internal_error', 'Something went wrong here.'));
  });

  return app;
}

function refusal(error: MoonguardError): Response {
  return Response.json({ error }, { status: error.status });
}
