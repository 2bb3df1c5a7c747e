import { sql } from 'kysely';
import type { Database } from '../../src/database/database.ts';
import type { DeciderDependencies } from '../../src/policy/Decider.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { type StoredEvent, storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { buyEvent } from './moonpay.ts';
import { policyService } from './policies.ts';
import type { Observed } from './signals.ts';

/** Stores webhooks as receiving does once their signature is verified. */
export async function receive(database: Database, bodies: readonly (string | Uint8Array)[]): Promise<StoredEvent[]> {
  const events = bodies.map((body) => {
    const rawBody = Buffer.from(body);
    const parsed = parseEvent(rawBody, 'sandbox');
    return { id: systemRuntime.newId(), environment: 'sandbox' as const, rawBody, signature: 't=1,s=00', parsed };
  });
  return database.transaction((transaction) => storeEvents(transaction, events));
}

/** A purchase that a default policy raises an alert about. */
export const failedBuy = (id: string, customerId = `customer of ${id}`): string =>
  buyEvent({ id, customerId, status: 'failed', failureReason: 'rejected_other' }, 'transaction_failed');

export function servicesOn(database: Database, { observe }: Pick<Observed, 'observe'>): DeciderDependencies {
  return { ...policyService(database).deciding, runtime: systemRuntime, observe };
}

/** An event that failed waits before it is tried again: that time is over. */
export async function waitingIsOver(database: Database): Promise<void> {
  await sql`update moonpay_webhook_events set decide_after = now() where decide_after is not null`.execute(database.db);
}
