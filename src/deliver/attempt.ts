import type { Runtime } from '../runtime.ts';
import type { ValidKey } from '../webhooks/endpointSecrets.ts';
import type { EndpointFilter } from '../webhooks/filter.ts';
import { classify } from './classify.ts';
import type { ClientCertificate } from './http1/connect.ts';
import type { HeaderLines } from './http1/HeaderLines.ts';
import { payloadOf } from './payload.ts';
import { nextAttemptDelayMs, retryAfterMs } from './retrySchedule.ts';
import type { Sender, SendResult } from './send.ts';
import { signDelivery } from './sign.ts';
import type { ClaimedDelivery, ClaimedEndpoint } from './store/claimDueDeliveries.ts';
import type { RequestedDelivery } from './store/settleDeliveries.ts';

/** An endpoint with everything that sending to it takes. */
export interface ReadyEndpoint extends Omit<ClaimedEndpoint, 'secrets' | 'filter' | 'headers'> {
  /** Its own, and those that every delivery has; undefined when they cannot be sent. */
  readonly headers: HeaderLines | undefined;
  readonly keys: readonly ValidKey[];
  readonly filter: EndpointFilter | undefined;
  readonly clientCertificate: ClientCertificate | undefined;
}

/** A leased delivery with everything that sending it takes. */
export interface ReadyDelivery {
  readonly delivery: ClaimedDelivery;
  readonly endpoint: ReadyEndpoint;
  readonly leaseToken: string;
}

/** One attempt from request to result: sign, send, classify, schedule. Rejects only before anything is sent. */
export async function attempt(
  { delivery, endpoint, leaseToken }: ReadyDelivery,
  { sender, runtime }: { readonly sender: Sender; readonly runtime: Runtime },
): Promise<RequestedDelivery> {
  const startedAtMs = runtime.now();
  const { delivery_settings: settings, keys } = endpoint;
  const body = payloadOf(delivery, endpoint);
  const signature = signDelivery({
    keys: keys.length === 1 ? keys : keys.filter(({ untilMs }) => untilMs > startedAtMs),
    eventId: delivery.eventId,
    timestampSeconds: Math.floor(startedAtMs / 1000),
    body,
  });
  const sent = await sender.send({
    url: endpoint.url,
    headers: endpoint.headers,
    signature,
    body,
    timeoutMs: settings.timeout_ms,
    verifySsl: settings.verify_ssl,
    environment: endpoint.environment,
    clientCertificate: endpoint.clientCertificate,
  });
  return {
    deliveryId: delivery.id,
    endpointId: endpoint.id,
    leaseToken,
    isOrdered: delivery.isOrdered,
    startedAtMs,
    durationMs: sent.durationMs,
    responseStatus: sent.kind === 'response' ? sent.status : undefined,
    responseBody: sent.kind === 'response' ? sent.body : undefined,
    ...outcomeOf(sent, delivery, endpoint, runtime),
  };
}

type Decided = Pick<RequestedDelivery, 'outcome' | 'retryInMs' | 'errorClass' | 'errorMessage' | 'disablesEndpoint'>;

const delivered: Decided = {
  outcome: 'delivered',
  retryInMs: undefined,
  errorClass: undefined,
  errorMessage: undefined,
  disablesEndpoint: false,
};

function outcomeOf(sent: SendResult, delivery: ClaimedDelivery, endpoint: ReadyEndpoint, runtime: Runtime): Decided {
  const outcome = classify(sent);
  if (outcome.outcome === 'delivered') return delivered;
  const { errorClass, disablesEndpoint } = outcome;
  const failure = {
    errorClass,
    errorMessage: sent.kind === 'failure' ? sent.message : `HTTP ${sent.status}`,
    disablesEndpoint,
    retryInMs: undefined,
  };
  if (delivery.isResend) return { ...failure, outcome: 'resend_failed' };
  if (disablesEndpoint) return { ...failure, outcome: 'held' };
  const attemptsMade = delivery.scheduledAttemptsMade + 1;
  if (attemptsMade >= endpoint.retry_policy.max_attempts) return { ...failure, outcome: 'exhausted' };
  const notBeforeMs = retryAfterMs(outcome.retryAfter, runtime.now());
  return {
    ...failure,
    outcome: 'retry',
    retryInMs: nextAttemptDelayMs(endpoint.retry_policy, attemptsMade, runtime.random(), notBeforeMs),
  };
}
