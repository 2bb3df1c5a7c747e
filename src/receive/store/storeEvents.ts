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

export interface StoredEvent {
  /** Of the event in the table: for a duplicate, the one that came first. */
  readonly id: string;
  readonly duplicate: boolean;
  /** A duplicate by its key whose bytes are others. */
  readonly bodyDiffers: boolean;
  /** Deliveries made for it; 0 for a duplicate. */
  readonly deliveries: number;
  readonly late: boolean;
  /** Why the transaction's or customer's state could not follow; the event is stored and delivered all the same. */
  readonly projectionFailure: string | undefined;
}

/**
 * Stores events with their deliveries and moves the state of their transactions and customers, for as many events as
 * came together. Belongs in one transaction: what it returns is true once that has committed.
 *
 * Results stand in the order of the events. Two events with the same key, in this batch or in two at the same time, are
 * one row: the second waits for the first's commit at the unique index, where every batch comes in the order of the keys,
 * so that no two can wait for each other.
 */
export async function storeEvents(transaction: Db, events: readonly IncomingEvent[]): Promise<StoredEvent[]> {
  const inserted = await insertWithDeliveries(transaction, events);
  const originals = await findOriginals(
    transaction,
    events.filter(({ id }) => !inserted.has(id)),
  );
  const projections = await projectEvents(transaction, inserted);
  await announce(transaction, inserted);

  return events.map(({ id, parsed, rawBody }): StoredEvent => {
    const row = inserted.get(id);
    if (row === undefined) {
      const original = originals.get(parsed.dedupeKey);
      const bodyDiffers = original !== undefined && !original.raw_body.equals(rawBody);
      return {
        id: original?.id ?? id,
        duplicate: true,
        bodyDiffers,
        deliveries: 0,
        late: false,
        projectionFailure: undefined,
      };
    }
    const projection = projections.get(id);
    return {
      id,
      duplicate: false,
      bodyDiffers: false,
      deliveries: row.deliveries,
      late: projection?.failure === null,
      projectionFailure: projection?.failure ?? undefined,
    };
  });
}

type InsertedEvents = ReadonlyMap<string, InsertedEvent>;

interface InsertedEvent {
  readonly id: string;
  readonly deliveries: number;
  readonly pending: number;
}

async function insertWithDeliveries(transaction: Db, events: readonly IncomingEvent[]): Promise<InsertedEvents> {
  const rows = events.map(({ id, environment, rawBody, signature, parsed }) => ({
    id,
    environment,
    signature,
    raw_body: Buffer.from(rawBody.buffer, rawBody.byteOffset, rawBody.byteLength).toString('base64'),
    is_json: parsed.jsonText !== null,
    event_type: parsed.providerType,
    event_name: parsed.name,
    dedupe_key: parsed.dedupeKey,
    entity_type: parsed.entity?.type,
    entity_id: parsed.entity?.id,
    occurred_at: parsed.facts.updatedAt,
    is_handled: parsed.isHandled,
    patterns: subscriptionPatterns(parsed.name),
  }));
  const { rows: inserted } = await sql<InsertedEvent>`
    with incoming as (
      select row_number() over () as place, e.*, decode(e.raw_body, 'base64') as bytes
      from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as e (
        id uuid, environment text, signature text, raw_body text, is_json boolean, event_type text, event_name text,
        dedupe_key text, entity_type text, entity_id text, occurred_at timestamptz, is_handled boolean, patterns text[])
    ), stored as (
      insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name,
        dedupe_key, entity_type, entity_id, occurred_at, is_handled, processed, processing_attempts, received_at, sequence)
      select id, environment, signature, bytes, case when is_json then convert_from(bytes, 'UTF8')::jsonb else 'null' end,
        event_type, event_name, dedupe_key, entity_type, entity_id, occurred_at, is_handled, false, 0, now(),
        sequence
      from (select *, nextval('moonguard.event_sequence') as sequence from (select * from incoming order by place) as arrived) as numbered
      order by dedupe_key
      on conflict (dedupe_key) do nothing
      returning id
    ), delivery as (
      insert into moonguard.deliveries (event_id, endpoint_id, status)
      select stored.id, endpoint.id, case when endpoint.status in ('active', 'suspended') then 'pending' else 'held' end
      from stored
      join incoming using (id)
      join public.moonpay_webhook_config endpoint
        on endpoint.environment = incoming.environment and endpoint.deleted_at is null and endpoint.events && incoming.patterns
      order by incoming.place
      returning event_id, status
    )
    select stored.id, count(delivery.event_id) as deliveries, count(*) filter (where delivery.status = 'pending') as pending
    from stored left join delivery on delivery.event_id = stored.id
    group by stored.id
  `.execute(transaction);
  return new Map(inserted.map((row) => [row.id, row]));
}

async function findOriginals(transaction: Db, duplicates: readonly IncomingEvent[]) {
  if (duplicates.length === 0) return new Map<string, never>();
  const keys = JSON.stringify(duplicates.map(({ parsed }) => parsed.dedupeKey));
  const { rows } = await sql<{ id: string; dedupe_key: string; raw_body: Buffer }>`
    select id, dedupe_key, raw_body from public.moonpay_webhook_events
    where dedupe_key in (select jsonb_array_elements_text(${keys}::jsonb))
  `.execute(transaction);
  return new Map(rows.map((row) => [row.dedupe_key, { ...row, raw_body: Buffer.from(row.raw_body) }]));
}

async function projectEvents(transaction: Db, inserted: InsertedEvents) {
  if (inserted.size === 0) return new Map<string, never>();
  const ids = JSON.stringify([...inserted.keys()]);
  const { rows } = await sql<{ event_id: string; failure: string | null }>`
    select event_id, failure from moonguard.project_events(
      array(select jsonb_array_elements_text(${ids}::jsonb)::uuid))
  `.execute(transaction);
  return new Map(rows.map((row) => [row.event_id, row]));
}

/** Listeners hear of it when the transaction commits. */
async function announce(transaction: Db, inserted: InsertedEvents): Promise<void> {
  if (inserted.size === 0) return;
  const deliver = [...inserted.values()].some(({ pending }) => pending > 0);
  await sql`
    select pg_notify('moonguard_events', ''), case when ${deliver} then pg_notify('moonguard_deliveries', '') end
  `.execute(transaction);
}
