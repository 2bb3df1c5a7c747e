import type { Runtime } from '../runtime.ts';
import { classify } from './classify.ts';
import { payloadOf } from './payload.ts';
import { nextAttemptDelayMs, retryAfterMs } from './retrySchedule.ts';
import type { Sender, SendResult } from './send.ts';
import { type EndpointSecretKey, signDelivery } from './sign.ts';
import type { ClaimedDelivery } from './store/claimDueDeliveries.ts';
import type { DeliveryEndpoint } from './store/findEndpoints.ts';
import type { SettledDelivery } from './store/settleDeliveries.ts';

/** A leased delivery with everything that sending it takes. */
export interface ReadyDelivery {
  readonly delivery: ClaimedDelivery;
  readonly endpoint: DeliveryEndpoint;
  readonly secrets: readonly EndpointSecretKey[];
  readonly leaseToken: string;
}

/** One attempt from request to result: sign, send, classify, schedule. Rejects only before anything is sent. */
export async function attempt(
  { delivery, endpoint, secrets, leaseToken }: ReadyDelivery,
  { sender, runtime }: { readonly sender: Sender; readonly runtime: Runtime },
): Promise<SettledDelivery> {
  const startedAtMs = runtime.now();
  const settings = endpoint.delivery_settings;
  const body = payloadOf(delivery, settings.payload);
  const sent = await sender.send({
    url: endpoint.url,
    headers: {
      ...endpoint.headers,
      'content-type': 'application/json',
      'user-agent': 'Moonguard',
      ...signDelivery({ secrets, eventId: delivery.eventId, timestampSeconds: Math.floor(startedAtMs / 1000), body }),
    },
    body,
    timeoutMs: settings.timeout_ms,
    verifySsl: settings.verify_ssl,
    environment: delivery.event.environment,
  });
  return {
    deliveryId: delivery.id,
    endpointId: delivery.endpointId,
    leaseToken,
    startedAt: new Date(startedAtMs),
    durationMs: sent.durationMs,
    responseStatus: sent.kind === 'response' ? sent.status : undefined,
    responseBody: sent.kind === 'response' ? sent.body : undefined,
    ...outcomeOf(sent, delivery, endpoint, runtime),
  };
}

type Decided = Pick<SettledDelivery, 'outcome' | 'retryInMs' | 'errorClass' | 'errorMessage' | 'disablesEndpoint'>;

function outcomeOf(sent: SendResult, delivery: ClaimedDelivery, endpoint: DeliveryEndpoint, runtime: Runtime): Decided {
  const outcome = classify(sent);
  if (outcome.outcome === 'delivered') {
    return {
      outcome: 'delivered',
      retryInMs: undefined,
      errorClass: undefined,
      errorMessage: undefined,
      disablesEndpoint: false,
    };
  }
  const { errorClass, disablesEndpoint } = outcome;
  const failure = {
    errorClass,
    errorMessage: sent.kind === 'failure' ? sent.message : `HTTP ${sent.status}`,
    disablesEndpoint,
    retryInMs: undefined,
  };
  if (disablesEndpoint) return { ...failure, outcome: 'held' };
  const attemptsMade = delivery.attemptsMade + 1;
  if (attemptsMade >= endpoint.retry_policy.max_attempts) return { ...failure, outcome: 'exhausted' };
  const notBeforeMs = retryAfterMs(outcome.retryAfter, runtime.now());
  return {
    ...failure,
    outcome: 'retry',
    retryInMs: nextAttemptDelayMs(endpoint.retry_policy, attemptsMade, runtime.random(), notBeforeMs),
  };
}
