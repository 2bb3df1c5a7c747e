import type { Database } from '../database/database.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { MoonguardError } from '../errors.ts';
import type { Environment, Observe } from '../observe/observation.ts';
import type { Runtime } from '../runtime.ts';
import { Ingest } from './ingest.ts';
import { parseEvent } from './parseEvent.ts';
import type { ProviderKeys } from './providerKeys.ts';
import { readBody } from './readBody.ts';
import type { StoredEvent } from './store/storeEvents.ts';
import { SIGNATURE_HEADER, verifySignature } from './verifySignature.ts';

/** MoonPay waits 5 s for an answer; a 503 in time is better than a connection it gives up on. */
const ANSWER_WITHIN_MS = 4_000;

export interface ReceiverDependencies {
  readonly database: Database;
  readonly runtime: Runtime;
  readonly observe: Observe;
  readonly providerKeys: Pick<ProviderKeys, 'current'>;
  readonly signatureToleranceSeconds: number;
  readonly maxBodyBytes: number;
}

export interface IncomingWebhook {
  readonly environment: Environment;
  /** The body exactly as received: the signature is over these bytes. */
  readonly rawBody: Uint8Array;
  /** Value of the header Moonpay-Signature-V2, or null. */
  readonly signature: string | null;
}

/** Receives MoonPay's webhooks: verify, parse, store with deliveries, then answer. */
export class Receiver {
  readonly #dependencies: ReceiverDependencies;
  readonly #ingest: Ingest;

  constructor(dependencies: ReceiverDependencies) {
    this.#dependencies = dependencies;
    this.#ingest = new Ingest(dependencies.database);
  }

  /**
   * For hosts with an HTTP server of their own that is not web-standard.
   * @throws MoonguardError when the webhook is refused (its status is 4xx) or could not be stored (5xx: MoonPay retries)
   */
  async receive(webhook: IncomingWebhook): Promise<StoredEvent> {
    const { eventName, stored } = await this.#inTime(this.#verifyAndStore(webhook));
    this.#report(webhook.environment, eventName, stored);
    return stored;
  }

  async #verifyAndStore({
    environment,
    rawBody,
    signature,
  }: IncomingWebhook): Promise<{ eventName: string; stored: StoredEvent }> {
    const { runtime, providerKeys, signatureToleranceSeconds } = this.#dependencies;
    const verdict = verifySignature({
      header: signature,
      rawBody,
      keys: await providerKeys.current(environment),
      nowMs: runtime.now(),
      toleranceSeconds: signatureToleranceSeconds,
    });
    if (!verdict.ok) throw new MoonguardError(verdict.code, refusals[verdict.code]);

    const parsed = parseEvent(rawBody, environment);
    const event = { id: runtime.newId(), environment, rawBody, signature: signature ?? '', parsed };
    return { eventName: parsed.name, stored: await this.#ingest.store(event) };
  }

  /** The web-standard handler of one environment's address: mount it wherever a Request comes in and a Response goes out. */
  async handle(request: Request, environment: Environment): Promise<Response> {
    try {
      if (request.method !== 'POST') throw new MoonguardError('method_not_allowed', 'Webhooks are posted.');
      const rawBody = await readBody(request, this.#dependencies.maxBodyBytes);
      const stored = await this.receive({ environment, rawBody, signature: request.headers.get(SIGNATURE_HEADER) });
      return Response.json({ received: true, event_id: stored.id, duplicate: stored.duplicate });
    } catch (error) {
      return this.#refuse(environment, asRefusal(error));
    }
  }

  #refuse(environment: Environment, error: MoonguardError): Response {
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    this.#dependencies.observe({ type: 'event.refused', environment, code: error.code, reason });
    return Response.json({ error }, { status: error.status, headers: headersOf[error.status] ?? {} });
  }

  async #inTime<T>(work: Promise<T>): Promise<T> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () => reject(new MoonguardError('database_unavailable', 'The event was not stored in time.')),
      ANSWER_WITHIN_MS,
    );
    try {
      return await Promise.race([work, late]);
    } finally {
      clearTimeout(timer);
    }
  }

  #report(environment: Environment, eventName: string, stored: StoredEvent): void {
    const { observe } = this.#dependencies;
    const { id: eventId, deliveries } = stored;
    if (stored.duplicate)
      return observe({ type: 'event.duplicate', environment, eventId, bodyDiffers: stored.bodyDiffers });
    observe({ type: 'event.received', environment, eventId, eventName, deliveries });
    if (stored.late) observe({ type: 'event.late', eventId, eventName });
    if (stored.projectionFailure !== undefined) {
      observe({ type: 'event.projection_failed', eventId, reason: stored.projectionFailure });
    }
  }
}

/** What RFC 9110 asks for besides the status. */
const headersOf: Readonly<Record<number, Record<string, string>>> = {
  405: { allow: 'POST' },
  503: { 'retry-after': '1' },
};

const refusals = {
  provider_key_missing: 'No webhook key of this environment is known, so nothing can be verified.',
  signature_missing: `The header ${SIGNATURE_HEADER} is missing.`,
  signature_malformed: `The header ${SIGNATURE_HEADER} is not of the form t=…,s=….`,
  timestamp_in_milliseconds: 'The signed time is in milliseconds.',
  signature_mismatch: 'The signature does not fit these bytes under any key of this environment.',
  timestamp_outside_tolerance: 'The signed time is too far from now.',
} as const;

/** Whatever went wrong on our side, MoonPay must send the event again: 5xx. */
function asRefusal(error: unknown): MoonguardError {
  if (error instanceof MoonguardError) return error;
  if (isUnavailable(error))
    return new MoonguardError('database_unavailable', 'The database cannot be reached.', { cause: error });
  return new MoonguardError('receive_failed', 'The event could not be stored.', { cause: error });
}
