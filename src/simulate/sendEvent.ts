import type { KeyObject } from 'node:crypto';
import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import type { Environment } from '../observe/observation.ts';
import { SIGNATURE_HEADER, signProviderBody } from '../receive/verifySignature.ts';
import type { Runtime } from '../runtime.ts';
import { bodyOf, type ProviderEvent } from './providerEvent.ts';

/** A server that receives webhooks, and the key it verifies them with. */
export interface Target {
  /** http://127.0.0.1:3000 */
  readonly serverUrl: string;
  readonly environment: Environment;
  readonly key: KeyObject;
  readonly runtime: Pick<Runtime, 'now'>;
}

/** How the server answered. */
export interface Answer {
  readonly status: number;
  readonly durationMs: number;
  /** Of the stored event; null when it was refused. */
  readonly eventId: string | null;
  readonly duplicate: boolean;
  /** Code of the error; null when it was accepted. */
  readonly error: string | null;
}

const ANSWER_WITHIN_MS = 10_000;

const answerSchema = z.object({
  event_id: z.string().optional(),
  duplicate: z.boolean().optional(),
  error: z.object({ code: z.string() }).optional(),
});

/**
 * Signs one event as MoonPay does, and posts it.
 * @throws MoonguardError server_unreachable
 */
export async function sendEvent(
  event: ProviderEvent,
  { serverUrl, environment, key, runtime }: Target,
): Promise<Answer> {
  const body = bodyOf(event);
  const startedAtMs = runtime.now();
  const signature = signProviderBody(body, key, Math.floor(startedAtMs / 1000));
  const url = receiveUrl(serverUrl, environment);
  let response: Response;
  let text: string;
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', [SIGNATURE_HEADER]: signature },
      body,
      signal: AbortSignal.timeout(ANSWER_WITHIN_MS),
    });
    text = await response.text();
  } catch (cause) {
    throw new MoonguardError('server_unreachable', `Nothing answers at ${url}.`, { cause });
  }
  const answer = answerSchema.safeParse(parseJson(text)).data;
  return {
    status: response.status,
    durationMs: runtime.now() - startedAtMs,
    eventId: answer?.event_id ?? null,
    duplicate: answer?.duplicate ?? false,
    error: answer?.error?.code ?? null,
  };
}

/** Where a server takes the webhooks of an environment. */
export function receiveUrl(serverUrl: string, environment: Environment): string {
  return new URL(`/webhooks/moonpay/${environment}`, serverUrl).href;
}

/** Something else than a Moonguard may answer there. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
