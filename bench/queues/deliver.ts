import type { Pool } from 'pg';
import { Agent, type Dispatcher, request } from 'undici';
import { createEndpointSecretKey, newEndpointSecret, signDelivery } from '../../src/deliver/sign.ts';
import { type Answer, postDirectly } from '../postDirectly.ts';
import { type RecordAttempt, recordEach, recordTogether } from './attemptLog.ts';
import type { Deliver } from './jobQueue.ts';

/**
 * `documented`: as the pages of the libraries show it, undici's `request` and one insert for each attempt.
 * `tuned`: with what we do ourselves, `dispatch` and attempts written together.
 */
export type Style = 'documented' | 'tuned';

export interface Delivering {
  readonly deliver: Deliver;
  readonly close: () => Promise<void>;
}

/** The work that a job is: signed in both schemes by our own code, posted, recorded. */
export function openDelivering(
  style: Style,
  { url, connections, pool }: { readonly url: string; readonly connections: number; readonly pool: Pool },
): Delivering {
  const agent = new Agent({ connections, pipelining: 1 });
  const target = new URL(url);
  const keys = [{ key: createEndpointSecretKey('bench', newEndpointSecret()) }];
  const post = style === 'tuned' ? postDirectly : postWithRequest;
  const record: RecordAttempt = style === 'tuned' ? recordTogether(pool) : recordEach(pool);

  const deliver: Deliver = async (job, attemptNumber) => {
    const startedAt = new Date();
    const startedAtMs = performance.now();
    const body = Buffer.from(job.body);
    const timestampSeconds = Math.floor(startedAt.getTime() / 1000);
    const signed = signDelivery({ keys, eventId: job.eventId, timestampSeconds, body });
    const headers = { 'content-type': 'application/json', 'user-agent': 'Moonguard', ...signed };
    const answer = await post(agent, target, headers, body);
    const isDelivered = answer.status >= 200 && answer.status < 300;
    await record({
      eventId: job.eventId,
      attemptNumber,
      startedAt,
      durationMs: Math.round(performance.now() - startedAtMs),
      outcome: isDelivered ? 'delivered' : 'retry',
      responseStatus: answer.status,
      responseBody: answer.body,
    });
    if (!isDelivered) throw new Error(`HTTP ${answer.status}`);
  };
  return { deliver, close: () => agent.close() };
}

async function postWithRequest(
  dispatcher: Dispatcher,
  url: URL,
  headers: Record<string, string>,
  body: Uint8Array,
): Promise<Answer> {
  const response = await request(url, { method: 'POST', headers, body, dispatcher });
  return { status: response.statusCode, body: await response.body.bytes() };
}
