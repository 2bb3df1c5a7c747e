import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventInputOf, type StoredEvent } from '../../src/policy/eventInput.ts';
import type { EventInput } from '../../src/policy/inputs.ts';
import { recordEventFacts } from '../../src/policy/store/recordEventFacts.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { testWithShared } from '../support/besideCheckout.ts';
import { buyEvent, examplePayloads } from '../support/moonpay.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

interface FactsRow extends StoredEvent {
  readonly facts: Readonly<Record<string, unknown>>;
}

/** What aggregates are to know of an event that policies see like this. */
function factsOf(event: EventInput): Record<string, unknown> {
  return {
    environment: event.environment,
    event_name: event.name,
    entity_type: event.entity_type ?? null,
    entity_id: event.entity_id ?? null,
    status: event.status ?? null,
    customer: event.customer_id ?? event.external_customer_id ?? null,
    wallet: event.wallet?.address.toLowerCase() ?? null,
    card: event.card_id ?? null,
    country: event.country ?? null,
    payment_method: event.payment_method ?? null,
    fiat: event.fiat === undefined ? null : `${event.fiat.amount} ${event.fiat.currency}`,
    crypto: event.crypto === undefined ? null : `${event.crypto.amount} ${event.crypto.currency}`,
  };
}

forEachDatabase('what aggregates know of an event', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  async function recorded(bodies: readonly Buffer[]): Promise<FactsRow[]> {
    const events = bodies.map((rawBody) => ({
      id: systemRuntime.newId(),
      environment: 'sandbox' as const,
      rawBody,
      signature: '',
      parsed: parseEvent(rawBody, 'sandbox'),
    }));
    await storeEvents(database.db, events);
    await recordEventFacts(database.db, 500);
    const { rows } = await sql<FactsRow>`
      select e.id, e.environment, e.event_name, e.event_type, e.entity_type, e.entity_id, f.at, e.event_data::text as json,
        to_jsonb(f) || jsonb_build_object('fiat', trim_scale(fiat_amount) || ' ' || fiat_currency,
          'crypto', trim_scale(crypto_amount) || ' ' || crypto_currency) as facts
      from moonpay_webhook_events e join moonguard.event_facts f on f.event_id = e.id
      where e.id in (select jsonb_array_elements_text(${JSON.stringify(events.map(({ id }) => id))}::jsonb)::uuid)
    `.execute(database.db);
    return rows;
  }

  testWithShared("is what policies see of it, for each of MoonPay's examples", async () => {
    const rows = await recorded(examplePayloads().map(({ body }) => body));
    expect(rows.length).toBeGreaterThan(10);
    for (const row of rows) expect(row.facts).toMatchObject(factsOf(eventInputOf(row).event));
  });

  test('is what policies see of it, for odd ones', async () => {
    const rows = await recorded(
      [
        buyEvent({ id: 'spaces', customerId: '  ann ', country: ' GBR ', cardId: '' }),
        buyEvent({ id: 'numbers', customerId: 17, cardId: 1.5, baseCurrencyAmount: '12.50' }),
        buyEvent({ id: 'objects', customerId: {}, cardId: ['c'], country: true, baseCurrencyAmount: 'much' }),
        buyEvent({
          id: 'long',
          customerId: 'c'.repeat(201),
          externalCustomerId: 'mine',
          walletAddress: 'W'.repeat(200),
        }),
        buyEvent({ id: 'plain words', baseCurrency: 'eur', currency: 'ETH', baseCurrencyAmount: -3 }),
        buyEvent({ id: 'huge' }).replace('"baseCurrencyAmount":50', '"baseCurrencyAmount":1e21'),
        buyEvent({ id: 'tiny' }).replace('"quoteCurrencyAmount":0.0123', '"quoteCurrencyAmount":0.000000000000000001'),
        buyEvent({ id: 'beyond' }).replace('"baseCurrencyAmount":50', '"baseCurrencyAmount":1e70'),
        buyEvent({ id: 'swap', walletAddress: null, refundWalletAddress: '0xAB' }, 'swap_transaction_created'),
        buyEvent({ id: 'nothing', updatedAt: null, baseCurrency: null, currency: undefined }),
        '[]',
      ].map((body) => Buffer.from(body)),
    );
    expect(rows).toHaveLength(11);
    for (const row of rows) expect(row.facts, row.json ?? '').toMatchObject(factsOf(eventInputOf(row).event));
  });

  test('a late event is known too, though it is not decided on', async () => {
    const [newer] = await recorded([Buffer.from(buyEvent({ id: 'tx', updatedAt: '2026-11-02T10:00:00Z' }))]);
    const [late] = await recorded([Buffer.from(buyEvent({ id: 'tx', updatedAt: '2026-11-01T10:00:00Z' }))]);
    expect(newer?.id).toBeDefined();
    expect(late?.facts).toMatchObject({ entity_id: 'tx', at: expect.stringContaining('2026-11-01T10:00:00') });
    const { rows } = await sql`select is_late, processed from moonpay_webhook_events where id = ${late?.id}`.execute(
      database.db,
    );
    expect(rows).toEqual([{ is_late: true, processed: true }]);
  });
});
