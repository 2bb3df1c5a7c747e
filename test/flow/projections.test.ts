import { randomUUID } from 'node:crypto';
import { assert, asyncProperty, constantFrom, integer, array as listOf, option, record } from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Db } from '../../src/database/database.ts';
import { type Projected, project, start } from '../support/projection.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

async function transactions(db: Db, condition: string): Promise<Record<string, unknown>[]> {
  const { rows } = await sql<Record<string, unknown>>`
    select environment, moonpay_transaction_id as id, external_transaction_id as external, status, moonpay_updated_at as updated_at
    from public.moonpay_transactions where ${sql.raw(condition)} order by environment, moonpay_transaction_id`.execute(
    db,
  );
  return rows;
}

const ranks: Readonly<Record<string, number>> = {
  waitingPayment: 0,
  waitingForDeposit: 0,
  pending: 1,
  waitingAuthorization: 1,
  requoteRequired: 1,
  completed: 2,
  failed: 2,
};

interface State {
  readonly status: string;
  readonly updatedAt: number | null;
}

/** What the documentation promises: an end stays an end, older never overwrites newer, at the same time only forward. */
function step(state: State | undefined, event: State): State | 'late' {
  if (state === undefined) return event;
  const [from = 0, to = 0] = [ranks[state.status], ranks[event.status]];
  if (from === 2 && event.status !== state.status) return 'late';
  const isOlder = state.updatedAt !== null && event.updatedAt !== null && event.updatedAt < state.updatedAt;
  const isNewer = state.updatedAt !== null && event.updatedAt !== null && event.updatedAt > state.updatedAt;
  if (isOlder || (!isNewer && to < from)) return 'late';
  return { status: event.status, updatedAt: event.updatedAt ?? state.updatedAt };
}

const nameOf: Readonly<Record<string, string>> = { completed: 'transaction.completed', failed: 'transaction.failed' };

const anEvent = record({
  entity: integer({ min: 0, max: 2 }),
  environment: constantFrom<'sandbox' | 'production'>('sandbox', 'production'),
  status: constantFrom(...Object.keys(ranks)),
  updatedAt: option(integer({ min: 0, max: 5 })),
});
const someBatches = listOf(listOf(anEvent, { minLength: 1, maxLength: 8 }), { minLength: 1, maxLength: 6 });

forEachDatabase('the state of transactions', (open, kind) => {
  let database: TestDatabase;

  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  test('follows the model, however the events come and whichever come together', async () => {
    await assert(
      asyncProperty(someBatches, async (batches) => {
        const run = randomUUID();
        const model = new Map<string, State>();
        for (const batch of batches) {
          const expectedLate: number[] = [];
          batch.forEach(({ entity, environment, status, updatedAt }, index) => {
            const key = `${environment} ${entity}`;
            const next = step(model.get(key), { status, updatedAt });
            if (next === 'late') expectedLate.push(index);
            else model.set(key, next);
          });

          const { ids, late, failures } = await project(
            database.db,
            batch.map(({ entity, environment, status, updatedAt }) => ({
              entityId: `${run}-${entity}`,
              environment,
              updatedAt,
              name: nameOf[status] ?? 'transaction.updated',
              data: { status },
            })),
          );

          expect(failures).toEqual({});
          expect(late.toSorted()).toEqual(expectedLate.map((index) => String(ids[index])).toSorted());
          const rows = await transactions(database.db, `moonpay_transaction_id like '${run}%'`);
          expect(
            new Map(
              rows.map(({ environment, id, status, updated_at }) => [
                `${String(environment)} ${String(id).slice(run.length + 1)}`,
                { status, updatedAt: updated_at instanceof Date ? (updated_at.getTime() - start) / 60_000 : null },
              ]),
            ),
          ).toEqual(model);
        }
        const { rows: marked } = await sql`
          select 1 from public.moonpay_webhook_events where entity_id like ${`${run}%`} and is_late is distinct from (processed_at is not null)`.execute(
          database.db,
        );
        expect(marked).toEqual([]);
      }),
      { numRuns: kind === 'postgres' ? 150 : 40 },
    );
  }, 60_000);

  const external = (externalTransactionId: string) => ({ data: { externalTransactionId } });
  const legacy = async (externalId: string, status = 'pending') =>
    sql`insert into public.moonpay_transactions (external_transaction_id, type, status) values (${externalId}, 'buy', ${status})`.execute(
      database.db,
    );

  describe('a row from before Moonguard', () => {
    test("is found by MoonPay's id, in either environment", async () => {
      await legacy('moonpay-1');
      await project(database.db, [{ entityId: 'moonpay-1', environment: 'sandbox', name: 'transaction.completed' }]);

      expect(await transactions(database.db, "external_transaction_id = 'moonpay-1'")).toMatchObject([
        { environment: 'sandbox', id: 'moonpay-1', status: 'completed' },
      ]);
    });

    test('is found by your own id, in production', async () => {
      await legacy('order-1');
      await project(database.db, [{ entityId: 'moonpay-2', name: 'transaction.completed', ...external('order-1') }]);

      expect(await transactions(database.db, "external_transaction_id = 'order-1'")).toMatchObject([
        { environment: 'production', id: 'moonpay-2', status: 'completed' },
      ]);
    });

    test('is not completed by a purchase in the sandbox that claims to be it', async () => {
      await legacy('order-2');
      await project(database.db, [
        { entityId: 'moonpay-3', environment: 'sandbox', name: 'transaction.completed', ...external('order-2') },
      ]);

      expect(await transactions(database.db, "external_transaction_id = 'order-2'")).toMatchObject([
        { environment: null, status: 'pending' },
      ]);
      expect(await transactions(database.db, "moonpay_transaction_id = 'moonpay-3'")).toMatchObject([
        { external: 'moonpay-3', status: 'completed' },
      ]);
    });

    test('at an end of its own list stays there', async () => {
      await legacy('moonpay-4', 'failed');
      const { late, ids } = await project(database.db, [
        { entityId: 'moonpay-4', name: 'transaction.completed', updatedAt: 9 },
      ]);

      expect(late).toEqual(ids);
      expect(await transactions(database.db, "external_transaction_id = 'moonpay-4'")).toMatchObject([
        { status: 'failed' },
      ]);
    });
  });

  describe('your own id', () => {
    test('goes to one of two transactions that have it, in one call and in two', async () => {
      await project(database.db, [
        { entityId: 'twin-1', ...external('order-3') },
        { entityId: 'twin-2', ...external('order-3') },
      ]);
      await project(database.db, [{ entityId: 'twin-3', ...external('order-3') }]);

      expect(
        (await transactions(database.db, "moonpay_transaction_id like 'twin-%'")).map(({ external: id }) => id),
      ).toEqual(['order-3', 'twin-2', 'twin-3']);
    });

    test('may be the id that MoonPay gave another transaction', async () => {
      const { failures } = await project(database.db, [
        { entityId: 'cross-1', ...external('cross-2') },
        { entityId: 'cross-2', ...external('cross-1') },
        { entityId: 'cross-2', name: 'transaction.completed', updatedAt: 1 },
      ]);

      expect(failures).toEqual({});
      expect(await transactions(database.db, "moonpay_transaction_id like 'cross-%'")).toMatchObject([
        { id: 'cross-1' },
        { id: 'cross-2', status: 'completed' },
      ]);
    });

    test('belongs to production: the sandbox makes way', async () => {
      await project(database.db, [{ entityId: 'play', environment: 'sandbox', ...external('order-4') }]);
      expect(await transactions(database.db, "moonpay_transaction_id = 'play'")).toMatchObject([
        { external: 'order-4' },
      ]);

      await project(database.db, [{ entityId: 'real', environment: 'production', ...external('order-4') }]);

      expect(await transactions(database.db, "moonpay_transaction_id in ('play', 'real')")).toMatchObject([
        { environment: 'production', external: 'order-4' },
        { environment: 'sandbox', external: 'sandbox:play' },
      ]);
    });
  });

  test('the same id in both environments is two transactions', async () => {
    await project(database.db, [
      { entityId: 'both', environment: 'sandbox', name: 'transaction.completed' },
      { entityId: 'both', environment: 'production', name: 'transaction.failed' },
    ]);

    expect(await transactions(database.db, "moonpay_transaction_id = 'both'")).toMatchObject([
      { environment: 'production', status: 'failed' },
      { environment: 'sandbox', status: 'completed' },
    ]);
  });

  test('keeps every digit, and what an earlier event said and a later one leaves out', async () => {
    await project(database.db, [{ entityId: 'digits', data: { walletAddress: '0xabc' } }]);
    await sql`update public.moonpay_webhook_events set event_data = '{"data": {"quoteCurrencyAmount": 0.123456789012345678, "baseCurrencyAmount": 400.10,
      "currency": {"code": "eth"}, "baseCurrency": {"code": "usd"}, "feeAmount": 1.50}}' where entity_id = 'digits'`.execute(
      database.db,
    );
    await sql`select moonguard.project_events(array(select id from public.moonpay_webhook_events where entity_id = 'digits'))`.execute(
      database.db,
    );

    const { rows } =
      await sql`select crypto_amount, fiat_amount, crypto_currency, fiat_currency, wallet_address, fees::text
      from public.moonpay_transactions where moonpay_transaction_id = 'digits'`.execute(database.db);
    expect(rows).toEqual([
      {
        crypto_amount: '0.123456789012345678',
        fiat_amount: '400.10',
        crypto_currency: 'eth',
        fiat_currency: 'usd',
        wallet_address: '0xabc',
        fees: '{"fee_amount": 1.50}',
      },
    ]);
  });

  test.each([
    [
      'a column of another type',
      'alter column customer_id type uuid using customer_id::uuid',
      /invalid input syntax for type uuid/,
    ],
    ['a check of their own', 'add constraint no_free_lunch check (fiat_amount > 0)', /no_free_lunch/],
    ['a column that must be given', 'add column order_number text not null', /order_number/],
  ])('what %s refuses is noted on its event; the others go on', async (_, change, failure) => {
    const handmade = await open();
    try {
      await sql`alter table public.moonpay_transactions ${sql.raw(change)}`.execute(handmade.db);
      const customerId = randomUUID();
      const good = { customerId, baseCurrencyAmount: 10 };

      const { ids, failures, late } = await project(handmade.db, [
        { entityId: 'good-1', data: good },
        { entityId: 'bad', data: { customerId: 'customer_123', baseCurrencyAmount: 0 } },
        { entityId: 'good-2', data: good },
      ]);

      expect(late).toEqual([]);
      const projected = await transactions(handmade.db, 'true');
      const refused = failure.source === 'order_number' ? ids : [String(ids[1])];
      expect(Object.keys(failures).toSorted()).toEqual(refused.toSorted());
      expect(Object.values(failures)).toEqual(refused.map(() => expect.stringMatching(failure)));
      expect(projected.map(({ id }) => id)).toEqual(refused.length === 1 ? ['good-1', 'good-2'] : []);
      const { rows } =
        await sql`select id, processed from public.moonpay_webhook_events where last_processing_error ~ ${failure.source} order by id`.execute(
          handmade.db,
        );
      expect(rows).toEqual(refused.toSorted().map((id) => ({ id, processed: false })));
    } finally {
      await handmade.close();
    }
  });
});

test('two workers that meet at one id of yours both get their transaction in', async () => {
  const database = await openTestDatabase('postgres');
  try {
    const locked = async (): Promise<boolean> => {
      const { rows } =
        await sql`select 1 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
          database.db,
        );
      return rows.length > 0;
    };
    const meet = (db: Db, entityId: string) => project(db, [{ entityId, data: { externalTransactionId: 'order-9' } }]);
    const second: Promise<Projected>[] = [];
    await database.transaction(async (transaction) => {
      await meet(transaction, 'first');
      second.push(database.transaction((other) => meet(other, 'second')));
      // It waits for the first at the unique index.
      while (!(await locked()));
    });

    expect(await Promise.all(second)).toMatchObject([{ failures: {}, late: [] }]);
    expect((await transactions(database.db, 'true')).map(({ external: id }) => id)).toEqual(['order-9', 'second']);
  } finally {
    await database.close();
  }
});
