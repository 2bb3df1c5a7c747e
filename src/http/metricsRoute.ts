import { createHash, timingSafeEqual } from 'node:crypto';
import { Hono } from 'hono';
import { MoonguardError } from '../errors.ts';

/** What is served at /metrics, and to whom. */
export interface ServedMetrics {
  /** Callers say it as `authorization: Bearer <token>`. */
  readonly token: string;
  readonly read: () => Promise<string>;
}

export function metricsRoute({ token, read }: ServedMetrics): Hono {
  const expected = digest(`Bearer ${token}`);
  return new Hono().get('/metrics', async (c) => {
    if (!timingSafeEqual(digest(c.req.header('authorization') ?? ''), expected)) {
      throw new MoonguardError('metrics_unauthorized', 'The token of the metrics is missing or another.');
    }
    return c.body(await read(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' });
  });
}

/** Of one length whatever the text is, as a comparison in constant time wants it. */
function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
