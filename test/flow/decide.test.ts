import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { Decider, type DeciderDependencies } from '../../src/policy/Decider.ts';
import { decideBatch } from '../../src/policy/decide.ts';
import { installDefaultPolicies } from '../../src/policy/defaultPolicies.ts';
import type { StoredEvent } from '../../src/receive/store/storeEvents.ts';
import { testWithShared } from '../support/besideCheckout.ts';
import { failedBuy, receive, servicesOn, waitingIsOver } from '../support/deciding.ts';
import { buyEvent, examplePayloads } from '../support/moonpay.ts';
import { policyService } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { type Observed, observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

async function alertsOf(database: Database) {
  const { rows } = await sql<{
    severity: string;
    alert_type: string;
    transaction_id: string | null;
    occurrence_count: number;
  }>`
    select severity, alert_type, transaction_id, occurrence_count from moonpay_compliance_alerts
    order by transaction_id, alert_type
  `.execute(database.db);
  return rows;
}

/** Transactions that have an alert. */
const alerted = async (database: Database): Promise<string[]> =>
  (await alertsOf(database)).flatMap(({ transaction_id }) => transaction_id ?? []);

async function eventRow(database: Database, event: StoredEvent | undefined) {
  const { rows } = await sql<{
    processed: boolean;
    processed_at: Date | null;
    processing_attempts: number;
    last_processing_error: string | null;
  }>`
    select processed, processed_at, processing_attempts, last_processing_error from moonpay_webhook_events where id = ${event?.id}
  `.execute(database.db);
  return rows[0];
}

async function logOf(database: Database, event: StoredEvent | undefined) {
  const { rows } = await sql<{ action_type: string; policy_id: string; notes: string | null }>`
    select action_type, policy_id, notes from moonpay_policy_logs where correlation_id = ${`evt_${event?.id}`} order by id
  `.execute(database.db);
  return rows;
}

/** From now on the database refuses alerts about this transaction. */
async function poison(database: Database, transactionId: string): Promise<void> {
  await sql`
    alter table moonpay_compliance_alerts add constraint poison check (transaction_id <> ${sql.lit(transactionId)})
  `.execute(database.db);
}

const decided = (event: StoredEvent | undefined) => (observation: Observation) =>
  observation.type === 'event.decided' && observation.eventId === event?.id;

forEachDatabase('deciding on events', (open) => {
  let database: TestDatabase;
  let signals: Observed;
  let services: DeciderDependencies;

  beforeEach(async () => {
    database = await open();
    await installDefaultPolicies(database);
    signals = observed();
    services = servicesOn(database, signals);
  });
  afterEach(() => database.close());

  testWithShared(
    'what means something to compliance raises its alert once, also when sent ten times; the rest raises none',
    async () => {
      const raised: Record<string, string[]> = {};
      for (const { file, body } of examplePayloads()) {
        const before = (await alertsOf(database)).length;
        await receive(database, [body]);
        await decideBatch(services, 10);
        await receive(
          database,
          Array.from({ length: 9 }, () => body),
        );
        await decideBatch(services, 10);
        const { rows } = await sql<{ severity: string; alert_type: string; occurrence_count: number }>`
        select severity, alert_type, occurrence_count from moonpay_compliance_alerts order by id offset ${before}
      `.execute(database.db);
        if (rows.length > 0)
          raised[file] = rows.map((row) => `${row.severity} ${row.alert_type} ${row.occurrence_count}`);
      }
      expect(raised).toEqual({
        'identity_check_rejected_escalated_old.data.json': ['medium kyc_verification 1'],
        'identity_check_rejected_retry.data.json': ['medium kyc_verification 1'],
        'transaction_failed_early.reduced.json': ['medium kyc_verification 1'],
      });
    },
  );

  test('alert, log row and mark are written together, under one correlation id', async () => {
    const [event] = await receive(database, [failedBuy('tx_1')]);
    expect(await decideBatch(services, 10)).toBe(1);
    expect(await alertsOf(database)).toMatchObject([
      { severity: 'medium', alert_type: 'transaction_monitoring', transaction_id: 'tx_1' },
    ]);
    expect(await logOf(database, event)).toMatchObject([
      { action_type: 'review_initiated', policy_id: 'moonguard_decision' },
      { action_type: 'rule_triggered', policy_id: 'compliance_rule_moonpay_failures' },
    ]);
    expect(await eventRow(database, event)).toMatchObject({ processed: true, processed_at: expect.any(Date) });
    expect(signals.all).toEqual([{ type: 'event.decided', eventId: event?.id, hits: 1 }]);
    expect(await decideBatch(services, 10)).toBe(0);
  });

  test('later events about the same matter count on the alert', async () => {
    const again = buyEvent({
      id: 'tx_1',
      status: 'failed',
      failureReason: 'rejected_other',
      updatedAt: '2026-11-02T10:00:00Z',
    });
    await receive(database, [failedBuy('tx_1'), again]);
    await decideBatch(services, 10);
    expect(await alertsOf(database)).toMatchObject([{ transaction_id: 'tx_1', occurrence_count: 2 }]);
  });

  test('an identity check that was clear is logged, an event that no policy is about leaves nothing', async () => {
    const clear = JSON.stringify({
      type: 'identity_check_updated',
      data: { id: 'c1', customerId: 'u1', status: 'completed', result: 'clear' },
    });
    const [identity, buy] = await receive(database, [clear, buyEvent({ id: 'tx_1', status: 'completed' })]);
    await decideBatch(services, 10);
    expect(await logOf(database, identity)).toMatchObject([
      { action_type: 'rule_passed', policy_id: 'moonguard_decision' },
    ]);
    expect(await logOf(database, buy)).toEqual([]);
    expect(await alertsOf(database)).toEqual([]);
  });

  test('an event that came late is never decided on', async () => {
    await receive(database, [buyEvent({ id: 'tx_1', status: 'completed', updatedAt: '2026-11-02T10:00:00Z' })]);
    const [late] = await receive(database, [failedBuy('tx_1')]);
    expect(late?.late).toBe(true);
    await decideBatch(services, 10);
    expect(await alertsOf(database)).toEqual([]);
    expect(signals.all).toHaveLength(1);
  });

  test('rows from before Moonguard are left alone', async () => {
    await sql`
      insert into moonpay_webhook_events (event_type, event_data, signature)
      values ('transaction_failed', '{"data": {"failureReason": "rejected_other"}}', '')
    `.execute(database.db);
    expect(await decideBatch(services, 10)).toBe(0);
  });

  test('an event whose decision fails holds up nobody, is tried five times, then set aside with the error in the log', async () => {
    await poison(database, 'tx_2');
    const [first, second, third] = await receive(
      database,
      ['tx_1', 'tx_2', 'tx_3'].map((id) => failedBuy(id)),
    );
    await decideBatch(services, 10);
    expect(await alerted(database)).toEqual(['tx_1', 'tx_3']);
    expect(await eventRow(database, second)).toMatchObject({ processed: false, processing_attempts: 1 });

    for (let attempt = 2; attempt <= 4; attempt++) {
      await waitingIsOver(database);
      expect(await decideBatch(services, 10)).toBe(1);
    }
    expect(await logOf(database, second)).toEqual([]);
    await waitingIsOver(database);
    await decideBatch(services, 10);
    await waitingIsOver(database);
    expect(await decideBatch(services, 10)).toBe(0);
    expect(await eventRow(database, second)).toMatchObject({
      processed: false,
      processing_attempts: 5,
      last_processing_error: 'the decision failed: 23514',
    });
    expect(await logOf(database, second)).toMatchObject([
      { action_type: 'rule_failed', notes: expect.stringContaining('poison') },
    ]);
    expect(signals.all).toEqual([
      { type: 'event.decided', eventId: first?.id, hits: 1 },
      { type: 'event.decide_failed', eventId: second?.id, reason: 'the decision failed: 23514' },
      { type: 'event.decided', eventId: third?.id, hits: 1 },
      ...Array.from({ length: 3 }, () => expect.objectContaining({ type: 'event.decide_failed', eventId: second?.id })),
      { type: 'event.set_aside', eventId: second?.id, reason: 'the decision failed: 23514' },
    ]);
    const { rows } =
      await sql`select severity, title from moonpay_compliance_alerts where transaction_id is null`.execute(
        database.db,
      );
    expect(rows).toEqual([{ severity: 'high', title: 'An event could not be decided' }]);
  });

  test('after a failure an event waits, longer each time', async () => {
    await poison(database, 'tx_1');
    const [event] = await receive(database, [failedBuy('tx_1')]);
    const waits: number[] = [];
    for (let attempt = 1; attempt <= 5; attempt++) {
      await decideBatch(services, 10);
      expect(await decideBatch(services, 10)).toBe(0);
      const { rows } = await sql<{ seconds: number | null }>`
        select extract(epoch from decide_after - now())::float8 as seconds from moonpay_webhook_events where id = ${event?.id}
      `.execute(database.db);
      waits.push(rows[0]?.seconds ?? 0);
      await waitingIsOver(database);
    }
    for (const [place, seconds] of [1, 5, 30, 120, 0].entries()) {
      expect(waits[place], `wait ${place + 1}`).toBeLessThanOrEqual(seconds);
      expect(waits[place], `wait ${place + 1}`).toBeGreaterThan(seconds * 0.5 - 1);
    }
  });

  test('what came after it of the same customer waits for it; once it is set aside, that is decided', async () => {
    await poison(database, 'tx_1');
    const [first, second, other] = await receive(database, [
      failedBuy('tx_1', 'ann'),
      failedBuy('tx_2', 'ann'),
      failedBuy('tx_3', 'bob'),
    ]);
    for (let attempt = 1; attempt <= 5; attempt++) {
      await decideBatch(services, 10);
      expect(await alerted(database)).toEqual(['tx_3']);
      await waitingIsOver(database);
    }
    await decideBatch(services, 10);
    expect(await alerted(database)).toEqual(['tx_2', 'tx_3']);
    expect(await eventRow(database, first)).toMatchObject({ processed: false });
    for (const event of [second, other]) expect(await eventRow(database, event)).toMatchObject({ processed: true });
  });

  test('an event that was set aside is decided when somebody asks for it', async () => {
    await poison(database, 'tx_1');
    const [event] = await receive(database, [failedBuy('tx_1')]);
    for (let attempt = 1; attempt <= 5; attempt++) {
      await decideBatch(services, 10);
      await waitingIsOver(database);
    }
    await sql`alter table moonpay_compliance_alerts drop constraint poison`.execute(database.db);
    expect(await decideBatch(services, 10)).toBe(0);
    await policyService(database).decideAgain(event?.id ?? '');
    expect(await decideBatch(services, 10)).toBe(1);
    expect(await alerted(database)).toEqual(['tx_1']);
    expect((await refusal(policyService(database).decideAgain(event?.id ?? ''))).code).toBe('decision_not_found');
    expect((await refusal(policyService(database).decideAgain('nothing'))).code).toBe('decision_not_found');
  });

  test('what made it fail can be put right in time', async () => {
    await poison(database, 'tx_1');
    const [event] = await receive(database, [failedBuy('tx_1')]);
    await decideBatch(services, 10);
    await sql`alter table moonpay_compliance_alerts drop constraint poison`.execute(database.db);
    await waitingIsOver(database);
    await decideBatch(services, 10);
    expect(await alerted(database)).toEqual(['tx_1']);
    expect(await eventRow(database, event)).toMatchObject({ processed: true, last_processing_error: null });
  });

  test('when the log refuses as well, the event is set aside all the same', async () => {
    await sql`alter table moonpay_policy_logs add constraint nothing check (source <> 'moonpay_event')`.execute(
      database.db,
    );
    const [event] = await receive(database, [failedBuy('tx_1')]);
    for (let attempt = 1; attempt <= 6; attempt++) {
      await decideBatch(services, 10);
      await waitingIsOver(database);
    }
    expect(await eventRow(database, event)).toMatchObject({ processed: false, processing_attempts: 5 });
    expect(await logOf(database, event)).toEqual([]);
  });

  test('a crash before the end leaves nothing behind, and the next run decides once', async () => {
    const [event] = await receive(database, [failedBuy('tx_1')]);
    const crashing: Database = {
      ...database,
      transaction: (work) =>
        database.transaction(async (transaction) => {
          await work(transaction);
          throw new Error('the process ends here');
        }),
    };
    await expect(decideBatch({ ...services, database: crashing }, 10)).rejects.toThrow('the process ends here');
    expect(await alertsOf(database)).toEqual([]);
    expect(await logOf(database, event)).toEqual([]);
    expect(signals.all).toEqual([]);

    await decideBatch(services, 10);
    expect(await alertsOf(database)).toMatchObject([{ transaction_id: 'tx_1', occurrence_count: 1 }]);
  });

  describe('the decider', () => {
    test('decides what is there and what comes, until it is stopped', async () => {
      const [before] = await receive(database, [failedBuy('tx_1')]);
      const decider = new Decider(services);
      await decider.start();
      await signals.next(decided(before));
      const [after] = await receive(database, [failedBuy('tx_2')]);
      await signals.next(decided(after));
      await decider.stop();

      const [later] = await receive(database, [failedBuy('tx_3')]);
      expect(await eventRow(database, later)).toMatchObject({ processed: false });
      expect(await alerted(database)).toEqual(['tx_1', 'tx_2']);
    });

    test('works through more than one batch without waiting for its poll', async () => {
      const events = await receive(
        database,
        Array.from({ length: 250 }, (_, i) => buyEvent({ id: `tx_${i}` })),
      );
      vi.useFakeTimers({ toNotFake: ['Date', 'performance', 'setImmediate', 'clearImmediate'] });
      onTestFinished(() => void vi.useRealTimers());
      const decider = new Decider(services);
      await decider.start();
      await signals.next(decided(events.at(-1)));
      await decider.stop();
      expect(signals.all.filter(({ type }) => type === 'event.decided')).toHaveLength(250);
    });

    test('finds by itself what no notification told of', async () => {
      const decider = new Decider({ ...services, database: { ...database, listen: async () => async () => {} } });
      await decider.start();
      const [first] = await receive(database, [failedBuy('tx_1')]);
      await signals.next(decided(first));
      const [second] = await receive(database, [failedBuy('tx_2')]);
      await signals.next(decided(second));
      await decider.stop();
    });

    test('goes on after the database was away', async () => {
      let away = true;
      const decider = new Decider({
        ...services,
        database: {
          ...database,
          transaction: (work, within) =>
            away ? Promise.reject(new Error('Connection terminated')) : database.transaction(work, within),
        },
      });
      await decider.start();
      const [event] = await receive(database, [failedBuy('tx_1')]);
      await signals.next(({ type }) => type === 'decide.failed');
      away = false;
      await signals.next(decided(event));
      await decider.stop();
    });
  });
});

test('two processes share the events, and each is decided once', async () => {
  const database = await openTestDatabase('postgres');
  await installDefaultPolicies(database);
  const signals = observed();
  const events = await receive(
    database,
    Array.from({ length: 60 }, (_, i) => failedBuy(`tx_${i}`)),
  );
  const deciders = [new Decider(servicesOn(database, signals)), new Decider(servicesOn(database, signals))];
  await Promise.all(deciders.map((decider) => decider.start()));
  for (const event of events) await signals.next(decided(event));
  await Promise.all(deciders.map((decider) => decider.stop()));
  const alerts = await alertsOf(database);
  expect(alerts).toHaveLength(60);
  expect(new Set(alerts.map((alert) => alert.occurrence_count))).toEqual(new Set([1]));
  await database.close();
});

test('three processes decide the events of each customer in the order in which they came', async () => {
  const database = await openTestDatabase('postgres');
  const signals = observed();
  const customerOf = (place: number): string => `customer_${place % 7}`;
  const events = await receive(
    database,
    Array.from({ length: 105 }, (_, place) => buyEvent({ id: `tx_${place}`, customerId: customerOf(place) })),
  );
  const processes = Array.from({ length: 3 }, () => servicesOn(database, signals));
  // Small batches, so that each customer passes from one process to another.
  const decideAll = async (services: DeciderDependencies): Promise<void> => {
    while (signals.all.length < events.length) await decideBatch(services, 5);
  };
  await Promise.all(processes.map(decideAll));
  // Reported once it is committed; the next one of the customer is claimed after that.
  const order = signals.all.flatMap((seen) => (seen.type === 'event.decided' ? [seen.eventId] : []));
  const places = order.map((id) => events.findIndex((event) => event.id === id));
  expect(places.toSorted((a, b) => a - b)).toEqual(events.map((_, place) => place));
  for (const [customer, ofCustomer] of Map.groupBy(places, customerOf)) {
    expect(ofCustomer, customer).toEqual(ofCustomer.toSorted((a, b) => a - b));
  }
  await database.close();
});
