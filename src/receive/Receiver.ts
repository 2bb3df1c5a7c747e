import type { Database } from '../database/database.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { MoonguardError } from '../errors.ts';
import type { Environment, Observe } from '../observe/observation.ts';
import type { Runtime } from '../runtime.ts';
import { Ingest, type Ingested, type LocalStages } from './ingest.ts';
import { parseEvent } from './parseEvent.ts';
import type { ProviderKeys } from './providerKeys.ts';
import { type RejectionCounts, Rejections } from './Rejections.ts';
import { readBody } from './readBody.ts';
import type { IncomingEvent, StoredEvent } from './store/storeEvents.ts';
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
  readonly localStages?: LocalStages;
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
  readonly #rejections = new Rejections();

  constructor(dependencies: ReceiverDependencies) {
    this.#dependencies = dependencies;
    this.#ingest = new Ingest(dependencies.database, dependencies.localStages);
  }

  /** How many webhooks this process has refused. */
  get rejections(): RejectionCounts {
    return this.#rejections.counts;
  }

  /**
   * For hosts with an HTTP server of their own that is not web-standard.
   * @throws MoonguardError when the webhook is refused (its status is 4xx) or could not be stored (5xx: MoonPay retries)
   */
  async receive(webhook: IncomingWebhook): Promise<StoredEvent> {
    try {
      return await this.#receive(webhook);
    } catch (error) {
      throw this.#refusal(webhook.environment, error);
    }
  }

  /** The web-standard handler of one environment's address: mount it wherever a Request comes in and a Response goes out. */
  async handle(request: Request, environment: Environment): Promise<Response> {
    try {
      if (request.method !== 'POST') throw new MoonguardError('method_not_allowed', 'Webhooks are posted.');
      this.#ingest.refuseWhenFull();
      const rawBody = await readBody(request, this.#dependencies.maxBodyBytes);
      const stored = await this.#receive({ environment, rawBody, signature: request.headers.get(SIGNATURE_HEADER) });
      return Response.json({ received: true, event_id: stored.id, duplicate: stored.duplicate });
    } catch (thrown) {
      const error = this.#refusal(environment, thrown);
      return Response.json({ error }, { status: error.status, headers: headersOf[error.status] ?? {} });
    }
  }

  /** Verifies, parses and stores, or gives up in time. An event that is being stored then may be stored all the same. */
  async #receive(webhook: IncomingWebhook): Promise<StoredEvent> {
    const { promise: late, reject } = Promise.withResolvers<never>();
    let ingested: Ingested | undefined;
    const timer = setTimeout(() => {
      ingested?.withdraw();
      reject(new MoonguardError('database_unavailable', 'The event was not stored in time.'));
    }, ANSWER_WITHIN_MS);
    try {
      const event = await Promise.race([this.#verify(webhook), late]);
      ingested = this.#ingest.store(event);
      const stored = await Promise.race([ingested.stored, late]);
      this.#report(webhook.environment, event.parsed.name, stored);
      return stored;
    } finally {
      clearTimeout(timer);
    }
  }

  async #verify({ environment, rawBody, signature }: IncomingWebhook): Promise<IncomingEvent> {
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
    return { id: runtime.newId(), environment, rawBody, signature: signature ?? '', parsed };
  }

  /** Counted and reported. */
  #refusal(environment: Environment, thrown: unknown): MoonguardError {
    const error = asRefusal(thrown);
    const reason = error.cause instanceof Error ? error.cause.message : error.message;
    this.#rejections.count(environment, error.code);
    this.#dependencies.observe({ type: 'event.refused', environment, code: error.code, reason });
    return error;
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
