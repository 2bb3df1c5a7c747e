import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Alert, Severity } from '../../src/compliance/alert.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { runAlertSchedule } from '../../src/compliance/store/runAlertSchedule.ts';
import { jobsOf, processWith } from '../support/jobs.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const MINUTE = 60_000;
const isAboutDeadlines = ({ name }: { readonly name: string }) => name === 'deadlines';
const nothing = { warned: 0, breached: 0, escalated: 0, assigned: 0, archived: 0, failure: null, more: false };

forEachDatabase('deadlines of alerts', (open, kind) => {
  let database: TestDatabase;
  let compliance: ComplianceService;

  beforeEach(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
    await query(`update moonguard.alert_deadlines set escalate_to = 'boss' where severity = 'critical'`);
  });
  afterEach(() => database.close());

  const query = async (text: string): Promise<Record<string, unknown>[]> =>
    (await sql.raw<Record<string, unknown>>(text).execute(database.db)).rows;

  const raise = (severity: Severity = 'critical', input: { dueAt?: Date; dedupeKey?: string } = {}): Promise<Alert> =>
    compliance.createAlert({ alertType: 'aml_screening', severity, title: 'Suspicion', ...input });

  const subscribe = (names: string, environment = 'production') =>
    query(`insert into moonpay_webhook_config (url, environment, events)
      values ('https://' || gen_random_uuid() || '.example.com', '${environment}', '{${names}}')`);

  const deadline = async ({ id }: Alert): Promise<Record<string, unknown> | undefined> =>
    (
      await query(`select deadline_step as step, round(extract(epoch from due_at - now()) / 60)::int as due,
        round(extract(epoch from next_step_at - now()) / 60)::int as next, breached_at is not null as breached
        from moonpay_compliance_alerts where id = '${id}'`)
    )[0];

  /** Minutes from now. */
  const inMinutes = (minutes: number): Date => new Date(Date.now() + minutes * MINUTE);

  const told = async (): Promise<string[]> =>
    (
      await query(`select event_name || ' ' || count(*) as line from moonpay_webhook_events
        join moonguard.deliveries d on d.event_id = moonpay_webhook_events.id group by event_name order by event_name`)
    ).map(({ line }) => String(line));

  test('come of the severity, and end with the decision', async () => {
    const alert = await raise('critical');
    expect(await deadline(alert)).toEqual({ step: 'running', due: 240, next: 180, breached: false });
    await compliance.dismiss(alert.id, 'Nothing in it', { actor: 'anna' });
    expect(await deadline(alert)).toEqual({ step: 'none', due: 240, next: null, breached: false });
    await compliance.reopen(alert.id, 'There was', { actor: 'anna' });
    expect(await deadline(alert)).toMatchObject({ step: 'running', next: 180 });

    await query(`delete from moonguard.alert_deadlines where severity = 'low'`);
    expect(await deadline(await raise('low'))).toEqual({ step: 'none', due: null, next: null, breached: false });
  });

  test('count business hours, where the severity says so', async () => {
    const alert = await raise('high');
    const [row] = await query(`select due_at = moonguard.due_at(created_at, 480, true)
        or due_at - moonguard.due_at(created_at, 480, true) < interval '1 second' as due,
      next_step_at - moonguard.due_at(created_at, 360, true) < interval '1 second' as next
      from moonpay_compliance_alerts where id = '${alert.id}'`);
    expect(row).toEqual({ due: true, next: true });
  });

  test('may be given; the warning comes as long before', async () => {
    expect(await deadline(await raise('critical', { dueAt: inMinutes(600) }))).toMatchObject({ due: 600, next: 540 });
    const alert = await raise('critical', { dueAt: inMinutes(30) });
    expect(await deadline(alert)).toMatchObject({ step: 'running', due: 30, next: 30 });
    await query(`update moonpay_compliance_alerts set due_at = now() + interval '100 minutes'`);
    expect(await deadline(alert)).toMatchObject({ due: 100, next: 40 });
    await query('update moonpay_compliance_alerts set due_at = null');
    expect(await deadline(alert)).toEqual({ step: 'none', due: null, next: null, breached: false });
  });

  test('begin anew with a further hit', async () => {
    const alert = await raise('critical', { dueAt: inMinutes(30), dedupeKey: 'k' });
    await runAlertSchedule(database.db, { now: inMinutes(31) });
    expect(await deadline(alert)).toMatchObject({ step: 'breached', next: null, breached: true });
    await raise('low', { dedupeKey: 'k' });
    expect(await deadline(alert)).toEqual({ step: 'running', due: 240, next: 180, breached: true });
  });

  test('come nearer when it gets worse, and never move away', async () => {
    const set = (severity: Severity) => query(`update moonpay_compliance_alerts set severity = '${severity}'`);
    const alert = await raise('low', { dueAt: inMinutes(1_000) });
    await set('critical');
    expect(await deadline(alert)).toMatchObject({ due: 240, next: 180 });
    await set('low');
    expect(await deadline(alert)).toMatchObject({ due: 240, next: 180 });
    await query(`update moonpay_compliance_alerts set due_at = now() + interval '90 minutes'`);
    await set('critical');
    expect(await deadline(alert)).toMatchObject({ due: 90 });
  });

  test('a decision after the due time is late, also when no schedule has run', async () => {
    const alert = await raise('critical', { dueAt: inMinutes(-1) });
    await compliance.resolve(alert.id, 'Settled', { actor: 'anna' });
    expect(await deadline(alert)).toMatchObject({ step: 'none', breached: true });
  });

  test('a warning, a breach and an escalation, once each, with two schedulers at a time', async () => {
    await subscribe('compliance.alert_due_soon,compliance.alert_overdue,compliance.alert_escalated');
    const alerts = await Promise.all(Array.from({ length: 25 }, () => raise()));
    const sum = { warned: 0, breached: 0, escalated: 0 };
    for (let round = 0; round < 20; round += 1) {
      const now = inMinutes(round * 15);
      const options = { now, limit: 10 };
      for (const run of await Promise.all([
        runAlertSchedule(database.db, options),
        runAlertSchedule(database.db, options),
      ])) {
        sum.warned += run.warned;
        sum.breached += run.breached;
        sum.escalated += run.escalated;
      }
    }
    expect(sum).toEqual({ warned: 25, breached: 25, escalated: 25 });
    expect(await told()).toEqual([
      'compliance.alert_due_soon 25',
      'compliance.alert_escalated 25',
      'compliance.alert_overdue 25',
    ]);
    for (const { id } of alerts) {
      expect(await compliance.getAlert(id)).toMatchObject({
        status: 'escalated',
        escalatedTo: 'boss',
        statusReason: expect.stringMatching(/^not decided by 2\d{3}-\d\d-\d\d \d\d:\d\d UTC$/),
      });
      expect((await compliance.getTimeline(id)).map(({ actor, toStatus }) => [actor, toStatus])).toEqual([
        ['system', 'open'],
        ['system', 'open'],
        ['system', 'escalated'],
      ]);
    }
  });

  test('one session at a time does it; whoever comes meanwhile does nothing', async () => {
    const due = () => raise('critical', { dueAt: inMinutes(1) });
    const run = (within = database.db) => runAlertSchedule(within, { now: inMinutes(5) });
    await due();
    const runs = await database.transaction(async (transaction) => {
      const first = await run(transaction);
      if (kind === 'postgres') await due();
      return [first, kind === 'postgres' ? await run() : undefined];
    });
    expect(runs[0]).toMatchObject({ isLeader: true, breached: 1 });
    if (kind === 'postgres') {
      expect(runs[1]).toEqual({ ...nothing, isLeader: false });
      expect(await run()).toMatchObject({ isLeader: true, breached: 1 });
    }
  });

  test('the next scheduler goes on where the one before ended', async () => {
    await subscribe('compliance.alert_due_soon,compliance.alert_overdue,compliance.alert_escalated');
    /** A process that starts, does what is due, and ends. */
    const run = async () => {
      await query('update moonguard.jobs set next_at = now()');
      const { runner, next } = processWith(database, jobsOf(database).filter(isAboutDeadlines));
      await runner.start();
      const done = await next(({ type }) => type.startsWith('job.'));
      await runner.stop();
      return done.type === 'job.ran' ? done.result : done;
    };
    const alert = await raise();
    await query('update moonpay_compliance_alerts set next_step_at = now()');
    expect(await run()).toMatchObject({ warned: 1, breached: 0 });
    expect(await deadline(alert)).toMatchObject({ step: 'warned' });
    expect(await run()).toMatchObject({ warned: 0, breached: 0 });

    // As if four hours had passed: what the alert is due by is in the past, and nothing else about it has changed.
    await database.runScript(`alter table moonpay_compliance_alerts disable trigger user;
      update moonpay_compliance_alerts set due_at = now(), next_step_at = now();
      alter table moonpay_compliance_alerts enable trigger user`);
    expect(await run()).toMatchObject({ warned: 0, breached: 1, escalated: 1 });
    expect(await run()).toMatchObject({ warned: 0, breached: 0, escalated: 0 });
    expect(await told()).toEqual([
      'compliance.alert_due_soon 1',
      'compliance.alert_escalated 1',
      'compliance.alert_overdue 1',
    ]);
  });

  test('the schedule goes on at once while there is more', async () => {
    await query(`insert into moonpay_compliance_alerts (alert_type, title, due_at)
      select 'aml_screening', 'x', now() - interval '1 minute' from generate_series(1, 250)`);
    const steps: unknown[] = [];
    const { jobs } = processWith(database, jobsOf(database));
    const run = await jobs.run('deadlines', { onProgress: ({ breached }) => steps.push(breached) });
    expect(run).toMatchObject({ status: 'done', result: { breached: 250 } });
    expect(steps).toEqual([100, 200, 250]);
  });

  test('it is reported that the database refuses, and nothing else of it', async () => {
    await query('alter function moonguard.run_alert_schedule(timestamptz, integer) rename to gone');
    const { runner, next } = processWith(database, jobsOf(database).filter(isAboutDeadlines));
    await runner.start();
    expect(await next(() => true)).toEqual({ type: 'job.failed', job: 'deadlines', reason: '42883' });
  });

  test('what fails for one alert, or in one task, does not hold up the rest', async () => {
    const [bad, good] = [
      await raise('critical', { dueAt: inMinutes(1) }),
      await raise('critical', { dueAt: inMinutes(2) }),
    ];
    await database.runScript(`create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'no' using errcode = 'check_violation'; end $$;
      create trigger zz_refuse before update on moonpay_compliance_alerts
        for each row when (old.id = '${bad.id}') execute function refuse();
      create or replace function moonguard.distribute_alerts(p_limit integer default 100) returns integer language plpgsql as
        $$ begin raise exception 'no' using errcode = 'deadlock_detected'; end $$`);
    expect(await runAlertSchedule(database.db, { now: inMinutes(5), limit: 1 })).toEqual({
      ...nothing,
      isLeader: true,
      breached: 1,
      escalated: 1,
      failure: '40P01',
      more: true,
    });
    expect(await deadline(good)).toMatchObject({ step: 'breached' });
    expect(await deadline(bad)).toMatchObject({ step: 'running' });
  });

  test('an alert that is due is left alone while its row cannot be had, or where it is worked on with another', async () => {
    const [lead, merged] = [
      await raise('critical', { dueAt: inMinutes(1) }),
      await raise('critical', { dueAt: inMinutes(1) }),
    ];
    await query(`update moonpay_compliance_alerts set merged_into = '${lead.id}' where id = '${merged.id}'`);
    expect(await deadline(merged)).toMatchObject({ step: 'none', next: null });
    const run = () => runAlertSchedule(database.db, { now: inMinutes(5) });
    if (kind === 'postgres') {
      const skipped = await database.transaction(async (transaction) => {
        await sql`select from moonpay_compliance_alerts for no key update`.execute(transaction);
        return run();
      });
      expect(skipped).toMatchObject({ breached: 0, failure: null });
    }
    expect(await run()).toMatchObject({ breached: 1 });
  });

  test('tells only endpoints that name the event, in its environment, and keeps no event that nobody asked for', async () => {
    const raiseIn = (environment: string) =>
      compliance.createAlert({
        alertType: 'aml_screening',
        severity: 'critical',
        customerId: 'customer_of_whom_nothing_is_told',
        title: 'Suspicion',
        metadata: { environment },
      });
    await subscribe('*');
    await subscribe('webhook.*,transaction.completed');
    const { id } = await raiseIn('production');
    await compliance.startReview(id, { actor: 'anna' });
    expect(await query('select event_name from moonpay_webhook_events')).toEqual([]);

    await subscribe('compliance.alert_created,compliance.alert_assigned,compliance.alert_in_review');
    await subscribe('compliance.alert_dismissed,compliance.alert_reopened,compliance.alert_resolved');
    await subscribe('compliance.alert_created', 'sandbox');
    const alert = await raiseIn('production');
    await raiseIn('sandbox');
    await query(`insert into moonpay_compliance_alerts (alert_type, title, status, resolved_by, resolution_notes)
      values ('aml_screening', 'History', 'resolved', 'mia', 'Settled')`);
    await compliance.assign(alert.id, 'anna');
    await compliance.assign(alert.id, null);
    await compliance.startReview(alert.id, { actor: 'anna' });
    await compliance.dismiss(alert.id, 'Nothing', { actor: 'anna' });
    await compliance.reopen(alert.id, 'Something', { actor: 'otto' });
    await compliance.resolve(alert.id, 'Settled', { actor: 'otto' });
    const events =
      await query(`select e.event_name, e.environment, e.entity_id, c.events @> array[e.event_name] as subscribed,
        convert_from(e.raw_body, 'UTF8')::jsonb as body
      from moonguard.deliveries d join moonpay_webhook_events e on e.id = d.event_id join moonpay_webhook_config c on c.id = d.endpoint_id
      order by e.sequence`);
    expect(events.map(({ event_name, environment }) => `${String(event_name)} ${String(environment)}`)).toEqual([
      'compliance.alert_created production',
      'compliance.alert_created sandbox',
      'compliance.alert_assigned production',
      'compliance.alert_in_review production',
      'compliance.alert_dismissed production',
      'compliance.alert_reopened production',
      'compliance.alert_resolved production',
    ]);
    expect(events.every(({ subscribed }) => subscribed)).toBe(true);
    expect(events[2]?.['body']).toEqual({
      type: 'compliance.alert_assigned',
      data: {
        id: expect.any(String),
        createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
        alertId: alert.alertId,
        alertType: 'aml_screening',
        severity: 'critical',
        status: 'open',
        assignedTo: 'anna',
        escalatedTo: null,
        dueAt: expect.stringMatching(/Z$/),
      },
    });
    expect(JSON.stringify(events)).not.toContain('nothing_is_told');
  });
});
