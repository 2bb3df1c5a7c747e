import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RetentionService, type RetentionSettings } from '../../src/retention/RetentionService.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { cli } from '../support/cli.ts';
import { jobsOf, processWith } from '../support/jobs.ts';
import { meanwhile } from '../support/meanwhile.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

type DeliveryStatus = 'pending' | 'delivered' | 'exhausted' | 'held' | 'filtered';

const nothing = { events: 0, deliveries: 0, attempts: 0, bodies: 0, policyLogs: [] };

/** What retention leaves of events that are made up with an age, each with one delivery and two attempts. */
class History {
  readonly database: TestDatabase;
  constructor(database: TestDatabase) {
    this.database = database;
  }

  async query(text: string): Promise<Record<string, unknown>[]> {
    return (await sql.raw<Record<string, unknown>>(text).execute(this.database.db)).rows;
  }

  async addEndpoint(): Promise<void> {
    await this.query(
      `insert into moonpay_webhook_config (url, environment, events) values ('https://a.example.com', 'sandbox', '{*}')`,
    );
  }

  async addEvents(
    daysAgo: number,
    {
      count = 1,
      status = 'delivered',
      decided = true,
      ours = true,
    }: { count?: number; status?: DeliveryStatus; decided?: boolean; ours?: boolean } = {},
  ): Promise<void> {
    const at = `now() - interval '${daysAgo} days'`;
    await this.query(`
      with event as (
        insert into moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment, dedupe_key,
          processed, received_at, sequence)
        select (left(moonguard.uuid_v7_floor(${at})::text, 15) || substr(gen_random_uuid()::text, 16))::uuid, 'x',
          '${daysAgo} ${status}', '{}', '{}', '', 'sandbox', ${ours ? 'gen_random_uuid()::text' : 'null'}, ${decided}, ${at}, n
        from generate_series(1, ${count}) as n
        returning id, sequence
      ), delivery as (
        insert into moonguard.deliveries (id, event_id, endpoint_id, status, event_sequence, attempts_count)
        select (left(moonguard.uuid_v7_floor(${at})::text, 15) || substr(gen_random_uuid()::text, 16))::uuid,
          event.id, c.id, '${status}', event.sequence, 2 from event, moonpay_webhook_config c
        returning id, endpoint_id
      )
      insert into moonguard.delivery_attempts (delivery_id, endpoint_id, attempt_number, started_at, duration_ms, outcome, response_body)
      select id, endpoint_id, n, ${at} + interval '1 hour' * n, 5, 'retry', 'ok' from delivery, generate_series(1, 2) as n`);
  }

  run(settings: RetentionSettings = {}, options?: Parameters<RetentionService['run']>[0]) {
    return new RetentionService({ database: this.database, runtime: systemRuntime, settings }).run(options);
  }

  plan(settings: RetentionSettings = {}) {
    return new RetentionService({ database: this.database, runtime: systemRuntime, settings }).plan();
  }

  /** Of each event: its deliveries, attempts, attempts with a body, and whether it has its own. */
  async left(): Promise<Record<string, string>> {
    const rows = await this.query(`
      select e.event_name as name, concat_ws(' ', count(distinct d.id), count(a.delivery_id), count(a.response_body), e.raw_body is not null) as text
      from moonpay_webhook_events e left join moonguard.deliveries d on d.event_id = e.id
      left join moonguard.delivery_attempts a on a.delivery_id = d.id group by e.id order by e.id`);
    return Object.fromEntries(rows.map(({ name, text }) => [String(name), String(text)]));
  }

  async count(table: string): Promise<unknown> {
    return (await this.query(`select count(*) as count from ${table}`))[0]?.['count'];
  }
}

forEachDatabase('retention', (open) => {
  let history: History;
  beforeEach(async () => {
    history = new History(await open());
    await history.addEndpoint();
  });
  afterEach(() => history.database.close());

  const WHOLE = '1 2 2 t';

  test('removes events past their days with deliveries and attempts, and says what it removed', async () => {
    for (const status of ['delivered', 'exhausted', 'held', 'filtered'] as const)
      await history.addEvents(91, { status });
    await history.addEvents(89);

    expect(await history.run()).toEqual({ status: 'finished', ...nothing, events: 4, deliveries: 4, attempts: 8 });
    expect(await history.left()).toEqual({ '89 delivered': WHOLE });
    expect([await history.count('moonguard.deliveries'), await history.count('moonguard.delivery_attempts')]).toEqual([
      1, 2,
    ]);
    expect(
      await history.query(`select task, removed_count, oldest < now() - interval '90 days' as old
        from moonguard.retention_runs order by task`),
    ).toEqual([
      { task: 'remove_old_attempts', removed_count: 8, old: null },
      { task: 'remove_old_deliveries', removed_count: 4, old: null },
      { task: 'remove_old_events', removed_count: 4, old: true },
    ]);

    expect(await history.run()).toEqual({ status: 'finished', ...nothing });
    expect(await history.count('moonguard.retention_runs')).toBe(3);
    expect(await history.run({ eventDays: 88 })).toMatchObject({ events: 1 });
  });

  test('never removes what is undecided, still to be delivered, or from before Moonguard', async () => {
    await history.addEvents(500, { decided: false });
    await history.addEvents(400, { status: 'pending' });
    await history.addEvents(300, { ours: false });
    await history.addEvents(200);

    expect(await history.run({ bodyDays: 10 })).toMatchObject({ events: 1, deliveries: 1 });
    expect(await history.left()).toEqual({ '500 delivered': WHOLE, '400 pending': WHOLE, '300 delivered': WHOLE });
  });

  test('goes on past a batch of what has to stay', async () => {
    await history.addEvents(150, { count: 1_200, status: 'pending' });
    await history.addEvents(100, { count: 2_100 });

    expect(await history.plan()).toMatchObject({ events: 2_100, deliveries: 2_100, attempts: 4_200 });
    expect(await history.run()).toMatchObject({ events: 2_100, deliveries: 2_100, attempts: 4_200 });
    expect(await history.count('moonpay_webhook_events')).toBe(1_200);
    const [run] = await history.query(
      `select removed_count from moonguard.retention_runs where task = 'remove_old_events'`,
    );
    expect(run).toEqual({ removed_count: 2_100 });
  });

  test('attempts may go earlier than their event', async () => {
    await history.addEvents(20);
    await history.addEvents(5);

    expect(await history.run({ attemptDays: 10 })).toEqual({ status: 'finished', ...nothing, attempts: 2 });
    expect(await history.left()).toEqual({ '20 delivered': '1 0 0 t', '5 delivered': WHOLE });
  });

  test('an attempt goes by its own age, not by that of its delivery', async () => {
    await history.addEvents(20);
    await history.query('update moonguard.delivery_attempts set started_at = now() where attempt_number = 2');

    expect(await history.run({ attemptDays: 10 })).toMatchObject({ attempts: 1 });
    expect(await history.left()).toEqual({ '20 delivered': '1 1 1 t' });
  });

  test('bodies may go earlier than their event, and are not looked for twice', async () => {
    await history.addEvents(20);
    await history.addEvents(15);
    await history.addEvents(5);

    expect(await history.plan({ bodyDays: 10 })).toMatchObject({ bodies: 2 });
    expect(await history.run({ bodyDays: 10 })).toEqual({ status: 'finished', ...nothing, bodies: 2 });
    const emptied = { '20 delivered': '1 2 0 f', '15 delivered': '1 2 0 f' };
    expect(await history.left()).toEqual({ ...emptied, '5 delivered': WHOLE });
    const reached = await history.query(
      'select reached < e.id as before_it from moonguard.retention_progress, moonpay_webhook_events e order by e.id',
    );
    expect(reached.map(({ before_it }) => before_it)).toEqual([false, false, true]);
    expect(await history.run({ bodyDays: 10 })).toMatchObject({ bodies: 0 });
  });

  test('a body that had to stay goes once its event is delivered', async () => {
    await history.addEvents(30);
    await history.addEvents(25, { status: 'pending' });
    await history.addEvents(20);
    expect(await history.run({ bodyDays: 10 })).toMatchObject({ bodies: 2 });
    expect(await history.left()).toMatchObject({ '25 pending': WHOLE });

    await history.query(`update moonguard.deliveries set status = 'delivered'`);
    expect(await history.run({ bodyDays: 10 })).toMatchObject({ bodies: 1 });
    expect(await history.left()).toMatchObject({ '25 pending': '1 2 0 f' });
  });

  test('a plan changes nothing, and says exactly what a run does', async () => {
    await history.addEvents(100);
    await history.addEvents(95, { status: 'pending' });
    await history.addEvents(20, { count: 3 });
    const settings = { attemptDays: 10, bodyDays: 15 };

    const plan = await history.plan(settings);
    expect(await history.left()).toMatchObject({ '100 delivered': WHOLE, '20 delivered': WHOLE });
    expect(await history.count('moonguard.retention_runs')).toBe(0);
    expect(await history.run(settings)).toEqual({ status: 'finished', ...plan });
    expect(plan).toEqual({ ...nothing, events: 1, deliveries: 1, attempts: 10, bodies: 3 });
  });

  test.each([
    [
      "customer_id) values ('c'",
      "insert into moonguard.event_facts (event_id, environment, sequence, at, order_key, event_name, customer) select id, 'sandbox', 1, now(), 'c', 'x', 'c' from moonpay_webhook_events",
    ],
    ["transaction_id) values ('t'", "update moonpay_webhook_events set entity_type = 'transaction', entity_id = 't'"],
    ["correlation_id) select 'evt_' || id from moonpay_webhook_events --", 'select 1'],
    ["executed_to) values (now() - interval '99 days'", 'select 1'],
  ])('a legal hold keeps events with their deliveries and attempts: %s', async (hold, subject) => {
    await history.addEvents(100);
    await history.query(subject);
    await history.query(
      `insert into moonguard.legal_holds (reason, ${hold.includes('select') ? hold.replace('select', "select 'case',") : `${hold.replace('values (', "values ('case', ")})`}`,
    );
    await history.addEvents(91);
    const settings = { attemptDays: 10, bodyDays: 10 };

    expect(await history.run(settings)).toMatchObject({ events: 1, attempts: 2, bodies: 0 });
    expect(await history.left()).toEqual({ '100 delivered': WHOLE });
    await history.query(
      `update moonguard.legal_holds set lifted_at = now(), lifted_by = 'sam', lifted_reason = 'closed'`,
    );
    expect(await history.run(settings)).toMatchObject({ events: 1, attempts: 2 });
  });

  test('an event stays whose delivery somebody asks for at that moment', async () => {
    await history.addEvents(100);
    const run = await meanwhile(
      history.database,
      (transaction) => sql`update moonguard.deliveries set status = 'pending'`.execute(transaction),
      () => history.run(),
    );
    expect(run).toMatchObject({ status: 'finished', events: 0, deliveries: 0 });
    expect(await history.left()).toEqual({ '100 delivered': WHOLE });
  });

  test('is a job, which reports it', async () => {
    await history.addEvents(100);
    const { observe, next } = observed();
    const { jobs } = processWith(history.database, jobsOf(history.database, observe));
    expect(await jobs.run('retention')).toMatchObject({ status: 'done', result: { events: 1 } });
    expect(await next(({ type }) => type === 'retention.ran')).toMatchObject({ status: 'finished', events: 1 });
  });

  test('stops between two batches, and says how far it is', async () => {
    await history.addEvents(100, { count: 1_500 });
    const stopping = new AbortController();
    const progress: number[] = [];
    const run = await history.run(
      {},
      {
        signal: stopping.signal,
        onProgress: ({ events }) => {
          progress.push(events);
          stopping.abort();
        },
      },
    );
    expect(run).toMatchObject({ status: 'interrupted', events: 1_000 });
    expect(progress).toEqual([1_000]);
    expect(await history.run()).toMatchObject({ status: 'finished', events: 500 });
  });
});

test('one session at a time removes', async () => {
  const database = await openTestDatabase('postgres');
  try {
    const history = new History(database);
    await history.addEndpoint();
    await history.addEvents(100);
    await database.transaction(async (transaction) => {
      await sql`select moonguard.retention_is_ours()`.execute(transaction);
      expect(await history.run()).toEqual({ status: 'interrupted', ...nothing });
    });
    expect(await history.run()).toMatchObject({ status: 'finished', events: 1 });
  } finally {
    await database.close();
  }
});

test('the command shows what would go, and removes it', { timeout: 120_000 }, async () => {
  const database = await openTestDatabase('postgres');
  try {
    const history = new History(database);
    await history.addEndpoint();
    await history.addEvents(40);
    await history.addEvents(20);
    await history.addEvents(1);
    const env = {
      DATABASE_URL: database.url,
      MOONGUARD_MASTER_KEY: Buffer.alloc(32, 7).toString('base64'),
      MOONGUARD_EVENT_RETENTION_DAYS: '30',
      MOONGUARD_BODY_RETENTION_DAYS: '10',
    };
    const plan = await cli(['retention', 'plan', '--json'], { env });
    expect(JSON.parse(plan.stdout)).toEqual({ ...nothing, events: 1, deliveries: 1, attempts: 2, bodies: 1 });
    expect(await cli(['retention', 'run'], { env })).toMatchObject({
      code: 0,
      stdout:
        'Gone: 1 event, 1 delivery, 2 attempts, 1 body of events that stay, 0 rows of the policy log, what is about persons in 0 more.\n',
    });
    expect(await history.left()).toEqual({ '20 delivered': '1 2 0 f', '1 delivered': '1 2 2 t' });
  } finally {
    await database.close();
  }
});
