import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Environment } from '../../src/observe/observation.ts';
import { type CompiledPolicy, compilePolicy } from '../../src/policy/compilePolicy.ts';
import { type Aggregate, durationSeconds, type PolicyDocument } from '../../src/policy/document.ts';
import { eventInputOf, type StoredEvent } from '../../src/policy/eventInput.ts';
import { type AskedSubject, gatherInputs } from '../../src/policy/gatherInputs.ts';
import { recordEventFacts } from '../../src/policy/store/recordEventFacts.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** A webhook in plain words. Few of everything, so that they meet. */
interface PlainEvent {
  readonly environment: Environment;
  readonly transaction: number;
  readonly customer: number | undefined;
  readonly card: number | undefined;
  readonly wallet: number;
  readonly country: string;
  readonly flow: string | undefined;
  readonly status: 'pending' | 'completed';
  readonly currency: 'EUR' | 'JPY';
  /** In minor units; undefined: the event says no amount. */
  readonly amount: number | undefined;
  readonly minute: number;
}

/** Seen once with 100; enough here to find each rule that is broken. */
const RUNS = 30;
const FIRST = Date.UTC(2026, 10, 1, 10);
const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;

const plainEvent: fc.Arbitrary<PlainEvent> = fc.record({
  environment: fc.constantFrom('sandbox' as const, 'sandbox' as const, 'production' as const),
  transaction: fc.nat(5),
  customer: fc.option(fc.nat(2), { nil: undefined, freq: 6 }),
  card: fc.option(fc.nat(1), { nil: undefined }),
  wallet: fc.nat(1),
  country: fc.constantFrom('GBR', 'FRA'),
  flow: fc.constantFrom('principal', 'other', undefined),
  status: fc.constantFrom('pending' as const, 'pending' as const, 'completed' as const),
  currency: fc.constantFrom('EUR' as const, 'JPY' as const),
  amount: fc.option(fc.integer({ min: -5, max: 100_000 }), { nil: undefined, freq: 8 }),
  minute: fc.nat(8),
});

const aggregate = fc
  .record({
    kind: fc.constantFrom(
      { function: 'count' as const },
      ...(['sum', 'min', 'max'] as const).map((name) => ({ function: name, of: 'fiat' as const })),
      ...(['customer', 'wallet', 'card', 'country', 'payment_method', 'transaction'] as const).map((of) => ({
        function: 'distinct' as const,
        of,
      })),
    ),
    rest: fc.record(
      {
        key: fc.constantFrom<Aggregate['key']>('customer', 'wallet', 'card', 'country', { field: 'flow' }),
        window: fc.constantFrom('60s', '2m', '3m', '1h', '90d'),
        per: fc.constantFrom('transaction' as const, 'event' as const),
        current: fc.constantFrom('include' as const, 'exclude' as const),
        where: fc.record(
          {
            status: fc.constantFrom<string[][]>(['completed'], ['pending', 'completed']),
            events: fc.constantFrom<string[][]>(['transaction.completed'], ['transaction.*'], ['sell_transaction.*']),
            country: fc.constant<string[]>(['GBR']),
            currency: fc.constant<string[]>(['JPY']),
          },
          { requiredKeys: [] },
        ),
      },
      { requiredKeys: ['key', 'window'] },
    ),
    currency: fc.constantFrom(undefined, 'event' as const, 'EUR'),
  })
  .map(
    ({ kind, rest, currency }): Omit<Aggregate, 'name'> => ({
      ...kind,
      ...rest,
      ...('of' in kind && kind.of === 'fiat' && currency !== undefined && { currency }),
    }),
  );

/** Runs share a database: each has a time of its own, which no window of another reaches. */
const timeOf = ({ minute }: PlainEvent, run: number): number => FIRST - run * 100 * DAY_MS + minute * MINUTE_MS;

function webhook(event: PlainEvent, run: number): Buffer {
  const { amount } = event;
  const body = {
    type: 'transaction_updated',
    data: {
      id: `tx_${run}_${event.transaction}`,
      updatedAt: new Date(timeOf(event, run)).toISOString(),
      status: event.status,
      customerId: event.customer === undefined ? null : `customer_${event.customer}`,
      cardId: event.card === undefined ? undefined : `card_${event.card}`,
      walletAddress: `0xAB${event.wallet}`,
      country: event.country,
      flow: event.flow,
      paymentMethod: 'card',
      baseCurrency: { code: event.currency.toLowerCase() },
      currency: { code: 'eth' },
      quoteCurrencyAmount: '@crypto',
      baseCurrencyAmount: amount === undefined ? undefined : '@fiat',
    },
  };
  const fiat = event.currency === 'JPY' ? String(amount) : `${(amount ?? 0) / 100}`;
  // As written: an amount that a double cannot hold.
  return Buffer.from(JSON.stringify(body).replace('"@fiat"', fiat).replace('"@crypto"', '0.000000000000000001'));
}

/** A stored event as an aggregate is to see it. */
interface Seen extends PlainEvent {
  readonly id: string;
  readonly atMs: number;
  /** Of arrival. */
  readonly order: number;
}

const keyOf = (event: Seen, key: Aggregate['key']): string | number | undefined =>
  typeof key === 'string' ? event[key] : event.flow;

/** The requirement in plain TypeScript. */
function expected(current: Seen, stored: readonly Seen[], definition: Omit<Aggregate, 'name'>): number | null {
  const { key, per = 'transaction', current: currentOne = 'include', where = {} } = definition;
  const windowMs = durationSeconds(definition.window) * 1000;
  const value = keyOf(current, key);
  const ofEvent = definition.currency === undefined || definition.currency === 'event';
  const currency = ofEvent ? current.currency : 'EUR';
  let counted =
    value === undefined
      ? []
      : stored.filter(
          (other) =>
            other.environment === current.environment &&
            keyOf(other, key) === value &&
            other.atMs > current.atMs - windowMs &&
            other.atMs <= current.atMs &&
            other.order < current.order,
        );
  if (value !== undefined && currentOne === 'include') counted = [...counted, current];
  if (per === 'transaction') {
    const newest = new Map<number, Seen>();
    for (const event of counted.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order)) {
      newest.set(event.transaction, event);
    }
    if (currentOne === 'exclude') newest.delete(current.transaction);
    counted = [...newest.values()];
  }
  counted = counted.filter(
    (event) =>
      (where.status?.includes(event.status) ?? true) &&
      (where.country?.includes(event.country) ?? true) &&
      (where.currency?.includes(event.currency) ?? true) &&
      (where.events?.some((name) => nameMatches(name, event)) ?? true),
  );
  const amounts = counted.flatMap((event) =>
    event.currency === currency && event.amount !== undefined ? [event.amount] : [],
  );
  // Whose amount cannot be read has no currency either.
  if (definition.of === 'fiat' && ofEvent && current.amount === undefined) return null;
  switch (definition.function) {
    case 'count':
      return counted.length;
    case 'sum':
      return amounts.reduce((sum, amount) => sum + amount, 0);
    case 'min':
      return amounts.length === 0 ? null : Math.min(...amounts);
    case 'max':
      return amounts.length === 0 ? null : Math.max(...amounts);
    case 'distinct': {
      const of = definition.of ?? 'customer';
      const words = counted.map((event) => {
        return of === 'payment_method' ? 'card' : of === 'fiat' || of === 'crypto' ? undefined : event[of];
      });
      return new Set(words.filter((word) => word !== undefined)).size;
    }
  }
}

function nameMatches(pattern: string, event: Seen): boolean {
  const name = event.status === 'completed' ? 'transaction.completed' : 'transaction.updated';
  return pattern === name || pattern === 'transaction.*';
}

forEachDatabase('aggregates', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
    await sql`select moonguard.declare_event_keys(array['flow'])`.execute(database.db);
  });
  afterAll(() => database.close());

  /** Stores the events in this order; gives those that were new. */
  async function store(events: readonly PlainEvent[], run: number): Promise<Seen[]> {
    const stored = await storeEvents(
      database.db,
      events.map((event) => {
        const rawBody = webhook(event, run);
        const parsed = parseEvent(rawBody, event.environment);
        return { id: systemRuntime.newId(), environment: event.environment, rawBody, signature: '', parsed };
      }),
    );
    return events.flatMap((event, order) => {
      const { id, duplicate } = stored[order] ?? { id: '', duplicate: true };
      return duplicate ? [] : [{ ...event, id, order, atMs: timeOf(event, run) }];
    });
  }

  async function subjects(events: readonly Seen[], policies: readonly CompiledPolicy[]): Promise<AskedSubject[]> {
    const { rows } = await sql<StoredEvent>`
      select id, environment, event_name, event_type, entity_type, entity_id, occurred_at as at, event_data::text as json
      from moonpay_webhook_events where id in (select jsonb_array_elements_text(${JSON.stringify(events.map(({ id }) => id))}::jsonb)::uuid)
      order by sequence
    `.execute(database.db);
    return rows.map((row) => ({
      policies,
      subject: { ...eventInputOf(row), eventId: row.id, correlationId: row.id, requestedBy: 'test' },
    }));
  }

  let run = 0;

  test('are what a computation by hand gives: ties, edges of windows, late and duplicate events, currencies', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(plainEvent, { minLength: 1, maxLength: 30 }),
        fc.array(aggregate, { minLength: 1, maxLength: 5 }),
        async (plain, definitions) => {
          run += 1;
          const events = await store(plain, run);
          await recordEventFacts(database.db, 500);
          const policy = policyWith(definitions);
          const gathered = await gatherInputs(database.db, await subjects(events, [policy]));
          expect(gathered).toHaveLength(events.length);
          for (const [place, current] of events.entries()) {
            const computed = policy.aggregates.map(({ id }) => gathered[place]?.inputs.aggregates[id]);
            expect(computed, JSON.stringify({ current, definitions })).toEqual(
              policy.aggregates.map(({ definition }) => expected(current, events, definition)),
            );
          }
          await sql`update moonpay_webhook_events set processed = true where not processed`.execute(database.db);
        },
      ),
      { numRuns: RUNS, endOnFailure: true },
    );
  }, 90_000);
});

function policyWith(definitions: readonly Omit<Aggregate, 'name'>[]): CompiledPolicy {
  const document: PolicyDocument = {
    id: 'sample',
    name: 'Sample',
    type: 'transaction_limit',
    applies_to: { events: ['*'] },
    aggregates: definitions.map((definition, place) => ({ name: `a${place}`, ...definition })),
    rules: [{ id: 'none', when: 'false' }],
  };
  const compiled = compilePolicy(document, { version: 1, mode: 'active' });
  if ('problems' in compiled) throw new Error(JSON.stringify(compiled.problems));
  return compiled.policy;
}
