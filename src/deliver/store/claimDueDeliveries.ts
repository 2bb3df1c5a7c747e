import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { unescapeBytes } from '../../database/escapedBytes.ts';
import type { Environment } from '../../observe/observation.ts';
import type { DeliverySettings } from '../../webhooks/deliverySettings.ts';
import type { RetryPolicy } from '../../webhooks/retryPolicy.ts';
import type { StoredSecret } from '../../webhooks/store/listEndpointSecrets.ts';

/** A delivery that this worker has leased, with what is to be sent. */
export interface ClaimedDelivery {
  readonly id: string;
  readonly eventId: string;
  /** Requests that the retry schedule counts. */
  readonly scheduledAttemptsMade: number;
  /** Somebody asked for one request outside the schedule. */
  readonly isResend: boolean;
  /** The next one of its entity waits for its result. */
  readonly isOrdered: boolean;
  readonly event: {
    readonly name: string;
    readonly providerType: string;
    /** When it happened, or else when it came; null unless the endpoint wants envelopes or has a filter. */
    readonly occurredAt: Date | null;
    /** MoonPay's bytes. */
    readonly rawBody: Uint8Array;
    /** The `data` as JSON with the digits it came with; null unless the endpoint wants envelopes or has a filter. */
    readonly dataText: string | null;
  };
}

/** What sending takes to know of an endpoint. The database has checked and completed the settings. */
export interface ClaimedEndpoint {
  readonly id: string;
  /** Unix µs: another one after every change, of its secrets too. */
  readonly changed_at: number;
  readonly environment: Environment;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly retry_policy: RetryPolicy;
  readonly delivery_settings: DeliverySettings;
  readonly filter: string | null;
  readonly client_certificate_id: string | null;
  /** Those that have not expired, the newest first. */
  readonly secrets: readonly StoredSecret[];
}

/** What was leased for one endpoint, in the order of arrival of the events. */
export interface ClaimedLane {
  readonly endpoint: ClaimedEndpoint;
  readonly deliveries: readonly ClaimedDelivery[];
  /** Milliseconds before the first one may be begun, and between it and the next. */
  readonly waitMs: number;
  readonly spacingMs: number;
  /** There was no room for more. */
  readonly hasMore: boolean;
  /** The filter has to choose before requests are reserved. */
  readonly toBeChosen: boolean;
}

export interface Claim {
  /** Deliveries in all, about: of it every endpoint with something due gets its share. */
  readonly limit: number;
  /** Deliveries for an endpoint that is not in `rooms`. */
  readonly defaultRoom: number;
  /** Deliveries that this worker can take for the endpoints it knows, by their ids. */
  readonly rooms: Readonly<Record<string, number>>;
  /** How long the lease is beyond the endpoint's timeout. */
  readonly leaseMs: number;
  readonly leaseToken: string;
  /** A suspended endpoint gets one request in this time. */
  readonly probeMs: number;
  readonly now?: Date;
}

/** Then a claim stops, whatever else is due: moonguard.claim_deliveries says the same. */
const MOST_BYTES = 16 * 1_048_576;

/** Leases deliveries that are due and skips those that another worker is leasing at this moment: migrations/0014. */
export async function claimDueDeliveries(db: Db, claim: Claim): Promise<ClaimedLane[]> {
  const { rows } = await sql<ClaimedRow>`
    select * from moonguard.claim_deliveries(${claim.limit}::integer, ${claim.defaultRoom}::integer,
      ${JSON.stringify(claim.rooms)}::jsonb, ${claim.leaseMs}::integer, ${claim.leaseToken}::uuid, ${claim.probeMs}::integer,
      ${claim.now ?? null}::timestamptz)
  `.execute(db);
  const lanes: ClaimedLane[] = [];
  let deliveries: ClaimedDelivery[] = [];
  let bytes = 0;
  for (const row of rows) {
    if (row.endpoint === null) {
      const delivery = decode(row);
      bytes += delivery.event.rawBody.byteLength;
      deliveries.push(delivery);
      continue;
    }
    lanes.push({
      endpoint: { ...row.endpoint, secrets: row.endpoint.secrets.map(withSealedBytes) },
      deliveries,
      waitMs: row.wait_ms,
      spacingMs: row.spacing_ms,
      hasMore: row.has_more || bytes >= MOST_BYTES,
      toBeChosen: row.to_be_chosen,
    });
    deliveries = [];
    bytes = 0;
  }
  return lanes;
}

function decode({ delivery, escaped_body }: DeliveryRow): ClaimedDelivery {
  const [id, eventId, scheduledAttemptsMade, isResend, isOrdered, name, providerType, occurredAtMs, dataText] =
    delivery;
  const occurredAt = occurredAtMs === null ? null : new Date(occurredAtMs);
  const rawBody = unescapeBytes(escaped_body);
  return {
    id,
    eventId,
    scheduledAttemptsMade,
    isResend,
    isOrdered,
    event: { name, providerType, occurredAt, rawBody, dataText },
  };
}

function withSealedBytes({ sealed, ...secret }: SecretInJson): StoredSecret {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the row's check says that it is either
  return { ...secret, sealed: sealed === null ? null : Buffer.from(sealed, 'base64') } as StoredSecret;
}

type SecretInJson = {
  readonly id: string;
  readonly endpoint_id: string;
  readonly sealed: string | null;
  readonly key_id: string | null;
  readonly unsealed: string | null;
  readonly expires_at: number | null;
};

/** The deliveries of an endpoint come first, then the endpoint. */
type ClaimedRow = DeliveryRow | EndpointRow;

interface DeliveryRow {
  readonly delivery: readonly [
    id: string,
    eventId: string,
    scheduledAttemptsMade: number,
    isResend: boolean,
    isOrdered: boolean,
    eventName: string,
    eventType: string,
    occurredAtMs: number | null,
    dataText: string | null,
  ];
  readonly escaped_body: string;
  readonly endpoint: null;
}

interface EndpointRow {
  readonly endpoint: Omit<ClaimedEndpoint, 'secrets'> & { readonly secrets: readonly SecretInJson[] };
  readonly has_more: boolean;
  readonly to_be_chosen: boolean;
  readonly wait_ms: number;
  readonly spacing_ms: number;
}
