import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';
import { subscriptionPatterns } from '../eventName.ts';
import type { ParsedEvent } from '../parseEvent.ts';

/** A verified webhook on its way into the database. */
export interface IncomingEvent {
  readonly id: string;
  readonly environment: Environment;
  readonly rawBody: Uint8Array;
  /** The signature header as it came. */
  readonly signature: string;
  readonly parsed: ParsedEvent;
}

/** What a worker takes without a claim: deliveries to these endpoints are stored as leased by it. */
export interface LeaseTerms {
  readonly leaseToken: string;
  /** How long the lease is beyond the endpoint's timeout. */
  readonly leaseMs: number;
  /** By id, `changed_at` of the state that the worker knows. Those that have changed since are left to a claim. */
  readonly endpoints: Readonly<Record<string, number>>;
}

export interface StoreTerms {
  readonly lease?: LeaseTerms | undefined;
  /** The process that stores decides too: nobody else has to be told of the events. */
  readonly isDecidedHere?: boolean;
}

export interface StoredEvent {
  /** Of the event in the table: for a duplicate, the one that came first. */
  readonly id: string;
  readonly duplicate: boolean;
  /** A duplicate by its key whose bytes are others. */
  readonly bodyDiffers: boolean;
  /** Deliveries made for it; 0 for a duplicate. */
  readonly deliveries: number;
  /** Those of them that were leased on the terms given. */
  readonly leased: readonly { readonly deliveryId: string; readonly endpointId: string }[];
  readonly late: boolean;
  /** Why the transaction's or customer's state could not follow; the event is stored and delivered all the same. */
  readonly projectionFailure: string | undefined;
}

/** What `moonguard.store_events` returns: see migrations/0015_store_events.sql. Places count from 0. */
interface StoreResult {
  readonly deliveries: readonly number[];
  readonly leased: Readonly<Record<number, readonly (readonly [deliveryId: string, endpointId: string])[]>>;
  readonly duplicates?: Readonly<Record<number, { readonly id: string; readonly body_differs: boolean }>>;
  readonly late?: readonly number[];
  readonly failures?: Readonly<Record<number, string>>;
}

/**
 * Stores events with their deliveries and moves the state of their transactions and customers, for as many events as
 * came together. One statement: outside a transaction, what it returns is committed.
 *
 * Results stand in the order of the events. Two events with the same key, in this batch or in two at the same time, are
 * one row: the second waits for the first's commit.
 */
export async function storeEvents(
  db: Db,
  events: readonly IncomingEvent[],
  { lease, isDecidedHere = false }: StoreTerms = {},
): Promise<StoredEvent[]> {
  const { rows } = await sql<{ stored: StoreResult }>`
    select moonguard.store_events(${rowsOf(events)}::json, ${Buffer.concat(events.map(({ rawBody }) => rawBody))}::bytea,
      ${patternsOf(events)}::jsonb, ${lease === undefined ? null : leaseOf(lease)}::jsonb, ${isDecidedHere}::boolean) as stored
  `.execute(db);
  return rows.flatMap(({ stored }) => events.map((event, place) => storedEvent(event, place, stored)));
}

function rowsOf(events: readonly IncomingEvent[]): string {
  return JSON.stringify(
    events.map(({ id, environment, rawBody, signature, parsed }) => ({
      id,
      environment,
      signature,
      body_length: rawBody.byteLength,
      is_json: parsed.jsonText !== null,
      event_type: parsed.providerType,
      event_name: parsed.name,
      dedupe_key: parsed.dedupeKey,
      entity_type: parsed.entity?.type,
      entity_id: parsed.entity?.id,
      occurred_at: parsed.facts.updatedAt,
      is_handled: parsed.isHandled,
    })),
  );
}

function patternsOf(events: readonly IncomingEvent[]): string {
  return JSON.stringify(Object.fromEntries(events.map(({ parsed: { name } }) => [name, subscriptionPatterns(name)])));
}

function leaseOf({ leaseToken: token, leaseMs: ms, endpoints }: LeaseTerms): string {
  return JSON.stringify({ token, ms, endpoints });
}

function storedEvent({ id }: IncomingEvent, place: number, stored: StoreResult): StoredEvent {
  const original = stored.duplicates?.[place];
  return {
    id: original?.id ?? id,
    duplicate: original !== undefined,
    bodyDiffers: original?.body_differs ?? false,
    deliveries: stored.deliveries[place] ?? 0,
    leased: (stored.leased[place] ?? []).map(([deliveryId, endpointId]) => ({ deliveryId, endpointId })),
    late: stored.late?.includes(place) ?? false,
    projectionFailure: stored.failures?.[place],
  };
}
