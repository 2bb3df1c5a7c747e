import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';

export interface Event {
  readonly entityId: string;
  readonly environment?: 'sandbox' | 'production';
  readonly name?: string;
  readonly type?: string;
  /** Minutes after some moment; null: MoonPay sent none. */
  readonly updatedAt?: number | null;
  readonly data?: Record<string, unknown>;
}

/** The moment that `updatedAt` counts from, in ms. */
export const start = Date.UTC(2026, 0, 1);

export interface Projected {
  /** Of the events that came too late. */
  readonly late: string[];
  readonly failures: Record<string, string>;
  readonly ids: string[];
}

/** Stores events as the receiver does, and projects them in one call. */
export async function project(db: Db, events: readonly Event[], entityType = 'transaction'): Promise<Projected> {
  const rows = events.map(
    ({ entityId, environment = 'production', name = 'transaction.updated', type, updatedAt = 0, data = {} }) => ({
      id: randomUUID(),
      environment,
      event_name: name,
      event_type: type ?? name.replace('.', '_'),
      entity_id: entityId,
      occurred_at: updatedAt === null ? null : new Date(start + updatedAt * 60_000).toISOString(),
      event_data: { data: { id: entityId, ...data } },
    }),
  );
  await sql`
    insert into public.moonpay_webhook_events (id, environment, event_name, event_type, entity_type, entity_id, occurred_at, event_data, signature, dedupe_key, sequence)
    select id, environment, event_name, event_type, ${entityType}, entity_id, occurred_at, event_data, 's', id, nextval('moonguard.event_sequence')
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb) as e (id uuid, environment text, event_name text, event_type text,
      entity_id text, occurred_at timestamptz, event_data jsonb)`.execute(db);
  const ids = rows.map(({ id }) => id);
  const projected = await sql<{ event_id: string; failure: string | null }>`
    select event_id, failure from moonguard.project_events(${sql.lit(`{${ids.join(',')}}`)}::uuid[])`.execute(db);
  return {
    ids,
    late: projected.rows.filter(({ failure }) => failure === null).map(({ event_id }) => event_id),
    failures: Object.fromEntries(
      projected.rows.flatMap(({ event_id, failure }) => (failure === null ? [] : [[event_id, failure]])),
    ),
  };
}
