import { sql } from 'kysely';
import { beforeEach, expect, onTestFinished, test } from 'vitest';
import { Backtester } from '../../src/policy/Backtester.ts';
import type { Backtest } from '../../src/policy/backtest.ts';
import { decideBatch } from '../../src/policy/decide.ts';
import type { PolicyDocument } from '../../src/policy/document.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import { recordEventFacts } from '../../src/policy/store/recordEventFacts.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { buyEvent } from '../support/moonpay.ts';
import { policyService, publishPolicy } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const EVENTS = 2_000;
const CUSTOMERS = 100;

/** Minor units of the event with this number. */
const amountOf = (number: number): number => (number * 37) % 1_000;

const limit = (minor: number, outcome: 'review' | 'block'): PolicyDocument => ({
  id: 'limit',
  name: 'Limit',
  type: 'transaction_limit',
  applies_to: { events: ['transaction.*'] },
  aggregates: [{ name: 'bought', function: 'count', key: 'customer', window: '30d' }],
  rules: [
    { id: 'much', when: `event.fiat.minor > ${minor}`, outcome },
    { id: 'often', when: 'aggregates.bought > 15', outcome: 'review' },
  ],
});

forEachDatabase('a backtest', (open) => {
  let database: TestDatabase;
  let policies: PolicyService;

  beforeEach(async () => {
    database = await open();
    onTestFinished(() => database.close());
    policies = policyService(database);
  });

  async function storeUndecided(bodies: readonly string[]): Promise<void> {
    await storeEvents(
      database.db,
      bodies.map((body) => {
        const rawBody = Buffer.from(body);
        const parsed = parseEvent(rawBody, 'sandbox');
        return { id: systemRuntime.newId(), environment: 'sandbox', rawBody, signature: '', parsed };
      }),
    );
  }

  /** As if they had been decided when there was no policy. */
  async function store(bodies: readonly string[]): Promise<void> {
    await storeUndecided(bodies);
    while ((await recordEventFacts(database.db, 500)).undecided > 0) {
      await sql`update moonpay_webhook_events set processed = true where id in (select event_id from moonguard.event_facts)`.execute(
        database.db,
      );
    }
  }

  const purchases = (count: number): string[] =>
    Array.from({ length: count }, (_, number) =>
      buyEvent({
        id: `tx_${number}`,
        customerId: `customer_${number % CUSTOMERS}`,
        baseCurrency: { code: 'eur' },
        baseCurrencyAmount: amountOf(number) / 100,
        updatedAt: new Date(Date.UTC(2026, 10, 1) + number * 1_000).toISOString(),
      }),
    );

  /** What the versions 1 (above 500: review) and 2 (above 200: block) say, by the words of the policy. */
  function expected(count: number) {
    const changes: Record<string, number> = {};
    const outcomes: Record<string, number> = {};
    const hits = { much: 0, often: 0 };
    for (let number = 0; number < count; number++) {
      const often = Math.floor(number / CUSTOMERS) + 1 > 15;
      const from = amountOf(number) > 500 || often ? 'review' : 'allow';
      const to = amountOf(number) > 200 ? 'block' : often ? 'review' : 'allow';
      outcomes[to] = (outcomes[to] ?? 0) + 1;
      if (from !== to) changes[`${from}→${to}`] = (changes[`${from}→${to}`] ?? 0) + 1;
      if (amountOf(number) > 200) hits.much += 1;
      if (often) hits.often += 1;
    }
    return { applied: count, changes, outcomes, hits, errors: {}, asRecorded: 0 };
  }

  /** Rows of each table but that of backtests. */
  async function rowCounts(): Promise<unknown> {
    const { rows } = await sql`
      select n.nspname || '.' || c.relname as name,
        (xpath('/row/n/text()', query_to_xml(format('select count(*) as n from %I.%I', n.nspname, c.relname), false, true, '')))[1]::text as rows
      from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname in ('public', 'moonguard') and c.relkind in ('r', 'p') and c.relname <> 'backtests' order by 1
    `.execute(database.db);
    return rows;
  }

  async function finish(service: PolicyService, backtestId: string): Promise<Backtest> {
    while ((await service.backtests.advance(backtestId))?.type === 'backtest.progressed');
    return service.backtests.get(backtestId);
  }

  test('says what would change, goes on after a restart, and writes nothing but its report', async () => {
    await store(purchases(EVENTS));
    await publishPolicy(database, limit(500, 'review'));
    await policies.versions.saveDraft(limit(200, 'block'), { actor: 'ann' });
    const before = await rowCounts();

    const begun = await policies.backtests.begin({ policyId: 'limit' }, { actor: 'ann' });
    expect(begun).toMatchObject({
      version: 2,
      comparedVersion: 1,
      totalCount: EVENTS,
      status: 'running',
      createdBy: 'ann',
    });
    expect(await policies.backtests.advance(begun.id)).toEqual({
      type: 'backtest.progressed',
      backtestId: begun.id,
      events: 500,
    });
    expect(await policies.backtests.get(begun.id)).toMatchObject({ status: 'running', evaluatedCount: 500 });

    // Another process, which knows nothing but the database.
    const { report, ...ended } = await finish(policyService(database), begun.id);

    expect(ended).toMatchObject({ status: 'completed', evaluatedCount: EVENTS, skippedCount: 0 });
    const { examples, ...counts } = report;
    expect(counts).toEqual(expected(EVENTS));
    expect(Object.keys(examples).toSorted()).toEqual(Object.keys(report.changes).toSorted());
    for (const found of Object.values(examples)) expect(found.length).toBeLessThanOrEqual(20);
    const [example] = examples['allow→block'] ?? [];
    expect(example?.rules).toMatchObject([
      { rule: 'much', result: 'hit', values: { 'event.fiat.minor': expect.any(Number) } },
    ]);
    expect(await rowCounts()).toEqual(before);
  });

  test('is shared by those who run, and ends for all of them when it is cancelled', async () => {
    await store(purchases(600));
    await policies.versions.saveDraft(limit(200, 'block'));
    const cancelled = await policies.backtests.begin({ policyId: 'limit' });
    expect(cancelled.comparedVersion).toBeNull();
    await policies.backtests.advance(cancelled.id);
    expect(await policies.backtests.cancel(cancelled.id, { actor: 'otto' })).toMatchObject({
      status: 'cancelled',
      cancelledBy: 'otto',
      evaluatedCount: 500,
    });
    expect(await policies.backtests.advance(cancelled.id)).toBeUndefined();
    expect((await refusal(policies.backtests.cancel(cancelled.id))).code).toBe('backtest_finished');

    const signals = observed();
    const { sets } = policies.deciding;
    const workers = [1, 2].map(() => new Backtester({ database, sets, observe: signals.observe }));
    for (const worker of workers) await worker.start();
    onTestFinished(async () => {
      for (const worker of workers) await worker.stop();
    });
    const { id } = await policies.backtests.begin({ policyId: 'limit', since: new Date(0), environment: 'sandbox' });
    await signals.next(({ type }) => type === 'backtest.completed');
    expect(await policies.backtests.get(id)).toMatchObject({ status: 'completed', evaluatedCount: 600 });
    expect((await policies.backtests.list({ limit: 1 })).items).toMatchObject([{ id }]);
  });

  test('leaves out what came late and what is outside its period, and counts what has no body any more', async () => {
    await store(purchases(3));
    await sql`update moonpay_webhook_events set raw_body = null, event_data = 'null' where entity_id = 'tx_1'`.execute(
      database.db,
    );
    await store([buyEvent({ id: 'tx_2', updatedAt: '2026-10-01T00:00:00Z' })]);
    await policies.versions.saveDraft(limit(200, 'block'));

    const all = await policies.backtests.begin({ policyId: 'limit' });
    expect(await finish(policies, all.id)).toMatchObject({ totalCount: 3, evaluatedCount: 2, skippedCount: 1 });
    const none = await policies.backtests.begin({ policyId: 'limit', environment: 'production' });
    expect(none).toMatchObject({ status: 'completed', totalCount: 0 });
    const past = await policies.backtests.begin({ policyId: 'limit', until: new Date('2026-01-01T00:00:00Z') });
    expect(past).toMatchObject({ status: 'completed', totalCount: 0 });
  });

  test('takes customer and transaction as they were recorded with the decision', async () => {
    const rule = (id: string): PolicyDocument => ({
      id,
      name: id,
      type: 'kyc_policy',
      applies_to: { events: ['transaction.*'] },
      rules: [{ id: 'unverified', when: 'customer.verification_status == "pending"' }],
    });
    await publishPolicy(database, rule('unverified_now'));
    const state = sql`insert into moonpay_customers (moonpay_customer_id, environment) values ('customer_0', 'sandbox')`;
    await state.execute(database.db);
    await storeUndecided(purchases(1));
    await decideBatch({ ...policies.deciding, observe: () => {} }, 10);
    await sql`update moonpay_customers set identity_verification_status = 'completed'`.execute(database.db);
    await policies.versions.saveDraft(rule('unverified_then'));

    const { id } = await policies.backtests.begin({ policyId: 'unverified_then' });

    expect((await finish(policies, id)).report).toMatchObject({ hits: { unverified: 1 }, asRecorded: 1 });
  });

  test('that cannot go on says why, and does not hold up the others', async () => {
    await store(purchases(1));
    await policies.versions.saveDraft(limit(200, 'block'));
    const { id } = await policies.backtests.begin({ policyId: 'limit' });
    await sql`alter table moonguard.event_facts rename to gone`.execute(database.db);

    expect(await policies.backtests.advance(id)).toMatchObject({ type: 'backtest.failed', reason: '42P01' });
    expect(await policies.backtests.get(id)).toMatchObject({
      status: 'failed',
      failure: expect.stringContaining('event_facts'),
    });
  });

  test('of what there is not is refused', async () => {
    const begin = (request: object) => refusal(policies.backtests.begin({ policyId: 'limit', ...request }));
    expect((await begin({})).code).toBe('policy_version_not_found');
    await policies.versions.saveDraft(limit(200, 'block'));
    expect((await begin({ comparedVersion: 2 })).code).toBe('policy_version_not_found');
    expect(await begin({ since: new Date(1), until: new Date(0) })).toMatchObject({
      code: 'backtest_invalid',
      field: 'until',
    });
    expect((await refusal(policies.backtests.get('nonsense'))).code).toBe('backtest_not_found');
  });
});
