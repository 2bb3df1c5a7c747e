import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { Ingest } from '../../src/receive/ingest.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import type { IncomingEvent } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { buyEvent } from '../support/moonpay.ts';
import { type ReceivingServer, startReceiving } from '../support/receivingServer.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const newEvent = (data: Readonly<Record<string, unknown>> = {}) => buyEvent({ id: systemRuntime.newId(), ...data });

const eventOf = (rawBody: Buffer): IncomingEvent => ({
  id: systemRuntime.newId(),
  environment: 'sandbox',
  rawBody,
  signature: '',
  parsed: parseEvent(rawBody, 'sandbox'),
});

interface Refusal {
  readonly error: { readonly code: string; readonly message: string };
}

async function refusalOf(response: Response): Promise<Refusal['error']> {
  expect(response.status).toBe(503);
  expect(response.headers.get('retry-after')).toBe('1');
  return ((await response.json()) as Refusal).error;
}

let database: TestPostgres;

beforeAll(async () => {
  database = await openTestDatabase('postgres');
});
beforeEach(() =>
  database.runScript('truncate moonpay_webhook_events; drop trigger if exists in_the_way on moonpay_webhook_events'),
);
afterAll(() => database.close());

async function storedEntities(): Promise<readonly string[]> {
  const { rows } = await sql<{
    entity_id: string;
  }>`select entity_id from moonpay_webhook_events order by entity_id`.execute(database.db);
  return rows.map(({ entity_id }) => entity_id);
}

/** Nothing can be stored while `work` runs. */
async function whileNothingIsStored(work: () => Promise<void>): Promise<void> {
  await database.transaction(async (transaction) => {
    await sql`lock table moonpay_webhook_events`.execute(transaction);
    await work();
  });
}

/** Resolves when so many sessions wait for the lock. */
async function batchesWait(count: number): Promise<void> {
  for (;;) {
    const { rows } = await sql`
      select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
      database.db,
    );
    if (rows.length >= count) return;
  }
}

describe('what waits to be stored is bounded', () => {
  test.each([
    ['64 MiB of bodies', 68, 1_000_000],
    ['10,000 events', 10_000, 0],
  ])(
    '%s: more are refused at once; when those before have been answered, others are taken',
    async (_, most, padding) => {
      const ingest = new Ingest(database);
      const event = eventOf(Buffer.from(newEvent({ padding: 'x'.repeat(padding) })));
      const tooMany = expect.objectContaining({ code: 'database_unavailable', status: 503 });

      await whileNothingIsStored(async () => {
        const ingested = Array.from({ length: most }, () => ingest.store({ ...event, id: systemRuntime.newId() }));
        expect(() => ingest.store(event)).toThrow(tooMany);
        expect(() => ingest.refuseWhenFull()).toThrow(tooMany);

        for (const { withdraw } of ingested) withdraw();
        expect(() => ingest.refuseWhenFull()).not.toThrow();
      });

      const other = await ingest.store(eventOf(Buffer.from(newEvent({ id: 'other' })))).stored;
      expect(other.duplicate).toBe(false);
      // What was in flight is stored, once; what had been withdrawn is not.
      expect(await storedEntities()).toHaveLength(2);
    },
  );

  test('whoever has been answered leaves the queue: the event is not stored behind the back of its sender', async () => {
    const { post } = await startReceiving({ database });
    await whileNothingIsStored(async () => {
      const first = post(newEvent({ id: 'first' }));
      await batchesWait(1);
      const second = post(newEvent({ id: 'second' }));
      await batchesWait(2);
      const queued = ['third', 'fourth'].map((id) => post(newEvent({ id })));
      for (const answer of [first, second, ...queued]) {
        expect(await refusalOf(await answer)).toMatchObject({ code: 'database_unavailable' });
      }
    });
    expect((await post(newEvent({ id: 'last' }))).status).toBe(200);
    // The first two were on their way already.
    await expect.poll(storedEntities).toEqual(['first', 'last', 'second']);
  }, 30_000);
});

describe('a batch that fails', () => {
  /** Every insert of the entity fails, as often as `times` says. */
  const failWith = (sqlState: string, { entity = '%', times = 1_000_000 } = {}) =>
    database.runScript(`
      create sequence if not exists failures;
      select setval('failures', 1, false);
      create or replace function fail() returns trigger language plpgsql as $$ begin
        if new.entity_id like '${entity}' and nextval('public.failures') <= ${times} then raise exception using errcode = '${sqlState}', message = 'in the way'; end if;
        return new;
      end $$;
      create trigger in_the_way before insert on moonpay_webhook_events for each row execute function fail();`);

  let server: ReceivingServer;
  beforeEach(async () => {
    server = await startReceiving({ database });
  });

  test.each(['40P01', '40001'])('for meeting another one (%s) is stored at the next attempt', async (sqlState) => {
    await failWith(sqlState, { times: 2 });
    expect((await server.post(newEvent({ id: 'met' }))).status).toBe(200);
    expect(await storedEntities()).toEqual(['met']);
  });

  test('again and again is refused: MoonPay comes back', async () => {
    await failWith('40P01');
    expect(await refusalOf(await server.post(newEvent()))).toMatchObject({ code: 'database_unavailable' });
  });

  test('for one event is stored without it', async () => {
    await failWith('22000', { entity: 'bad' });
    const ingest = new Ingest(database);
    const store = (id: string) =>
      ingest.store(eventOf(Buffer.from(newEvent({ id })))).stored.then(
        () => 'stored',
        () => id,
      );
    const outcomes: Promise<string>[] = [];
    await whileNothingIsStored(async () => {
      // As many as are under way at a time; what comes then is one batch.
      for (const id of ['first', 'second', 'good', 'bad', 'better', 'best']) outcomes.push(store(id));
    });
    expect(await Promise.all(outcomes)).toEqual(['stored', 'stored', 'stored', 'bad', 'stored', 'stored']);
    expect(await storedEntities()).toEqual(['best', 'better', 'first', 'good', 'second']);

    expect(await refusalOf(await server.post(newEvent({ id: 'bad' })))).toMatchObject({ code: 'receive_failed' });
  });
});
