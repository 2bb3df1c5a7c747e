import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { AlertQueues } from '../../src/compliance/AlertQueues.ts';
import type { Alert, AlertType, Severity } from '../../src/compliance/alert.ts';
import { bulk } from '../../src/compliance/bulk.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { attempt, signedIn } from '../support/caller.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('queues of alerts', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let queues: AlertQueues;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
    queues = new AlertQueues({ database });
  });
  afterAll(() => database.close());
  beforeEach(() =>
    database.runScript(`truncate moonguard.alert_queues, moonguard.alert_people cascade;
      update moonpay_compliance_alerts set status = 'dismissed', resolution_notes = 'n', resolved_by = 'x'
        where status in ('open', 'in_review', 'escalated')`),
  );

  const raise = (severity: Severity = 'high', alertType: AlertType = 'aml_screening'): Promise<Alert> =>
    compliance.createAlert({ alertType, severity, title: 'Suspicion' });
  const raiseSeveral = async (count: number): Promise<Alert[]> => {
    const raised: Alert[] = [];
    for (let i = 0; i < count; i += 1) raised.push(await raise());
    return raised;
  };

  const staff = async (queue: string, people: Readonly<Record<string, number | null>>): Promise<void> => {
    for (const [id, capacity] of Object.entries(people)) {
      await queues.putPerson({ id, capacity });
      await queues.addMember(queue, id);
    }
  };

  const assignees = async (alerts: readonly Alert[]): Promise<(string | null)[]> => {
    const found: (string | null)[] = [];
    for (const { id } of alerts) found.push((await compliance.getAlert(id)).assignedTo);
    return found;
  };

  const queueOf = async ({ id }: Alert): Promise<unknown> =>
    (
      await sql<{ queue: string | null }>`select queue from moonpay_compliance_alerts where id = ${id}`.execute(
        database.db,
      )
    ).rows[0]?.queue;

  test('an alert goes into the first active queue that takes its type and severity', async () => {
    await queues.putQueue({ name: 'closed', strategy: 'manual', priority: 1, isActive: false });
    await queues.putQueue({ name: 'urgent', strategy: 'manual', priority: 2, severities: ['critical'] });
    await queues.putQueue({ name: 'kyc', strategy: 'manual', alertTypes: ['kyc_verification'] });
    await queues.putQueue({ name: 'zz rest', strategy: 'manual', severities: ['low', 'high'] });

    expect(await queueOf(await raise('critical', 'kyc_verification'))).toBe('urgent');
    expect(await queueOf(await raise('high', 'kyc_verification'))).toBe('kyc');
    expect(await queueOf(await raise('high'))).toBe('zz rest');
    const waiting = await raise('medium');
    expect(await queueOf(waiting)).toBeNull();
    await queues.putQueue({ name: 'late', strategy: 'manual' });
    expect(await queueOf(waiting)).toBe('late');
    expect((await queues.listQueues()).map(({ name }) => name)).toEqual(['closed', 'urgent', 'kyc', 'late', 'zz rest']);
  });

  test('a queue and a person keep what is not given anew', async () => {
    await queues.putQueue({ name: 'kyc', strategy: 'round_robin', alertTypes: ['kyc_verification'], priority: 7 });
    await queues.putPerson({ id: 'anna', name: 'Anna', capacity: 2 });
    await queues.addMember('kyc', 'anna');
    await queues.putQueue({ name: 'kyc', isActive: false, priority: undefined });
    await queues.putPerson({ id: 'anna', isActive: false });
    const queue = { name: 'kyc', strategy: 'round_robin', severities: null, priority: 7, members: ['anna'] };
    expect(await queues.listQueues()).toEqual([{ ...queue, alertTypes: ['kyc_verification'], isActive: false }]);
    expect(await queues.listPeople()).toEqual([{ id: 'anna', name: 'Anna', capacity: 2, isActive: false, load: 0 }]);
    await queues.putQueue({ name: 'kyc', alertTypes: null });
    await queues.putPerson({ id: 'anna', capacity: null });
    expect(await queues.listQueues()).toMatchObject([{ ...queue, alertTypes: null }]);
    expect(await queues.listPeople()).toMatchObject([{ name: 'Anna', capacity: null }]);
  });

  test('an alert is handed over: nobody has it, and the other queue gives it out', async () => {
    await queues.putQueue({ name: 'first', strategy: 'round_robin' });
    await staff('first', { anna: null });
    const alert = await raise();
    await queues.distribute();
    await compliance.startReview(alert.id, { actor: 'anna' });
    await queues.putQueue({ name: 'second', strategy: 'round_robin', severities: ['low'] });
    await staff('second', { mia: null });

    expect(await compliance.transfer(alert.id, 'second', { actor: 'anna' })).toMatchObject({
      queue: 'second',
      assignedTo: null,
      status: 'open',
    });
    await queues.distribute();
    expect(await compliance.getAlert(alert.id)).toMatchObject({ assignedTo: 'mia' });
    expect((await compliance.getTimeline(alert.id)).at(-2)).toMatchObject({
      actor: 'anna',
      before: { queue: 'first', assigned_to: 'anna' },
      after: { queue: 'second', assigned_to: null },
    });
    // By its type and severity it belongs to the first.
    expect(await compliance.transfer(alert.id, null)).toMatchObject({ queue: 'first' });
    const escalated = await compliance.escalate(alert.id);
    expect(await compliance.transfer(escalated.id, 'second')).toMatchObject({ queue: 'second', status: 'escalated' });

    expect((await refusal(compliance.transfer(alert.id, 'nowhere'))).code).toBe('queue_not_found');
    expect((await refusal(compliance.transfer(alert.id, ''))).code).toBe('alert_invalid');
  });

  test('an analyst hands over what is his, over SQL too', async () => {
    await queues.putQueue({ name: 'second', strategy: 'manual' });
    const [his, others] = [await raise(), await raise()];
    await compliance.assign(his.id, 'ana');
    await compliance.assign(others.id, 'otto');
    const transfer = ({ id }: Alert) =>
      `update moonpay_compliance_alerts set queue = 'second', assigned_to = null where id = '${id}'`;
    const ana = signedIn('compliance_analyst', 'ana');
    expect(await attempt(database, ana, transfer(his))).toEqual({ rows: 1 });
    expect(await attempt(database, ana, transfer(others))).toEqual({ rows: 0 });
    expect(await attempt(database, signedIn('auditor'), transfer(his))).toEqual({ rows: 0 });
  });

  test('round robin: in turn, by who is there, whatever they have already', async () => {
    await queues.putQueue({ name: 'all', strategy: 'round_robin' });
    await staff('all', { anna: null, mia: null, otto: null });
    for (const { id } of await raiseSeveral(2)) await compliance.assign(id, 'anna');
    const alerts = await raiseSeveral(5);
    expect(await queues.distribute()).toBe(5);
    expect(await assignees(alerts)).toEqual(['anna', 'mia', 'otto', 'anna', 'mia']);

    await queues.putPerson({ id: 'otto', isActive: false });
    const more = await raiseSeveral(2);
    await queues.distribute();
    expect(await assignees(more)).toEqual(['anna', 'mia']);
    expect(await queues.distribute()).toBe(0);
  });

  test('least loaded: what people have from elsewhere counts, what is decided does not', async () => {
    await queues.putQueue({ name: 'all', strategy: 'least_loaded' });
    await staff('all', { anna: null, otto: null });
    const [first, second] = await raiseSeveral(2);
    for (const alert of [first, second]) await compliance.assign(alert?.id ?? '', 'anna');
    const alerts = await raiseSeveral(3);
    await queues.distribute();
    expect(await assignees(alerts)).toEqual(['otto', 'otto', 'anna']);

    await compliance.dismiss(first?.id ?? '', 'Nothing', { actor: 'anna' });
    await compliance.dismiss(second?.id ?? '', 'Nothing', { actor: 'anna' });
    expect(await queues.listPeople()).toMatchObject([
      { id: 'anna', load: 1 },
      { id: 'otto', load: 2 },
    ]);
    const next = await raise();
    await queues.distribute();
    expect(await assignees([next])).toEqual(['anna']);
  });

  test('the worst go first; a full queue keeps the rest and does not hold up the others', async () => {
    await queues.putQueue({ name: 'aml', strategy: 'round_robin', priority: 1, alertTypes: ['aml_screening'] });
    await queues.putQueue({ name: 'rest', strategy: 'round_robin' });
    await queues.putQueue({ name: 'by hand', strategy: 'manual', priority: 1, alertTypes: ['pep_screening'] });
    await staff('aml', { anna: 1 });
    await staff('rest', { otto: 1 });
    await queues.addMember('by hand', 'otto');
    const [medium, critical] = [await raise('medium'), await raise('critical')];
    const [kyc, pep] = [await raise('low', 'kyc_verification'), await raise('critical', 'pep_screening')];
    expect(await queues.distribute()).toBe(2);
    expect(await assignees([medium, critical, kyc, pep])).toEqual([null, 'anna', 'otto', null]);

    await compliance.resolve(critical.id, 'Settled', { actor: 'anna' });
    expect(await queues.distribute()).toBe(1);
    expect(await assignees([medium])).toEqual(['anna']);
  });

  test('by hand somebody may get more than their capacity', async () => {
    await queues.putPerson({ id: 'anna', capacity: 1 });
    for (const { id } of await raiseSeveral(3)) await compliance.assign(id, 'anna');
    expect(await queues.listPeople()).toEqual([{ id: 'anna', name: null, capacity: 1, isActive: true, load: 3 }]);
  });

  test('whoever gives an alert back does not get it again', async () => {
    await queues.putQueue({ name: 'all', strategy: 'least_loaded' });
    await staff('all', { anna: null });
    const alert = await raise();
    await queues.distribute();
    await compliance.assign(alert.id, null, { actor: 'anna' });
    expect(await queues.distribute()).toBe(0);
    await staff('all', { otto: null });
    expect(await queues.distribute()).toBe(1);
    expect(await assignees([alert])).toEqual(['otto']);
  });

  test('those that everybody gave back do not hold up the others', async () => {
    await queues.putQueue({ name: 'all', strategy: 'round_robin' });
    await staff('all', { anna: null });
    const returned = await raiseSeveral(3);
    await queues.distribute();
    for (const { id } of returned) await compliance.assign(id, null);
    const waiting = await raise();
    await sql`select moonguard.distribute_alerts(1)`.execute(database.db);
    expect(await assignees([...returned, waiting])).toEqual([null, null, null, 'anna']);
  });

  test('nobody ever gets more than their capacity, and nothing waits while somebody has room, also when several distribute', async () => {
    const shift = fc.record({
      strategy: fc.constantFrom('least_loaded', 'round_robin'),
      capacities: fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 1, maxLength: 4 }),
      alerts: fc.integer({ min: 0, max: 12 }),
    });
    await fc.assert(
      fc
        .asyncProperty(shift, async ({ strategy, capacities, alerts }) => {
          await queues.putQueue({ name: 'all', strategy });
          await staff('all', Object.fromEntries(capacities.map((capacity, i) => [`person ${i}`, capacity])));
          await sql`insert into moonpay_compliance_alerts (alert_type, title)
            select 'aml_screening', 'Suspicion' from generate_series(1, ${alerts}::int)`.execute(database.db);
          const distributed = await Promise.all([queues.distribute(), queues.distribute(), queues.distribute()]);
          const room = capacities.reduce((sum, capacity) => sum + capacity, 0);
          expect(distributed.reduce((sum, count) => sum + count)).toBe(Math.min(alerts, room));
          for (const { load, capacity } of await queues.listPeople()) expect(load).toBeLessThanOrEqual(capacity ?? 0);
        })
        .beforeEach(() =>
          database.runScript(`truncate moonguard.alert_queues, moonguard.alert_people cascade;
            update moonpay_compliance_alerts set status = 'dismissed', resolution_notes = 'n', resolved_by = 'x' where status = 'open'`),
        ),
      { numRuns: 15 },
    );
  });

  test('once somebody works on alerts, they are assigned to nobody else, in code and over SQL', async () => {
    const alert = await raise();
    await compliance.assign(alert.id, 'anybody');
    await queues.putPerson({ id: 'anna' });
    await queues.putPerson({ id: 'mia', isActive: false });
    for (const nobody of ['anybody else', 'mia']) {
      expect(await refusal(compliance.assign(alert.id, nobody))).toMatchObject({
        code: 'alert_assignee_unknown',
        message: expect.stringContaining(nobody),
      });
    }
    await expect(
      sql`update moonpay_compliance_alerts set assigned_to = 'mia' where id = ${alert.id}`.execute(database.db),
    ).rejects.toThrow('mia is nobody who works on alerts');
    await expect(
      sql`insert into moonpay_compliance_alerts (alert_type, title, queue) values ('aml_screening', 'x', 'nowhere')`.execute(
        database.db,
      ),
    ).rejects.toThrow('there is no queue nowhere');
    // Whoever has it keeps it, whatever else changes.
    await compliance.startReview(alert.id, { actor: 'anna' });
    expect(await assignees([alert])).toEqual(['anybody']);
  });

  test("what cannot be is refused, and leaves the caller's transaction alive", async () => {
    expect((await refusal(queues.putPerson({ id: '', capacity: 0 }))).problems.map(({ field }) => field)).toEqual([
      'id',
      'capacity',
    ]);
    expect(await refusal(queues.putQueue({ name: 'x', strategy: 'manual', severities: [] }))).toMatchObject({
      code: 'queue_invalid',
      field: 'severities',
    });
    await database.transaction(async (transaction) => {
      const options = { transaction };
      await queues.putPerson({ id: 'anna' }, options);
      expect((await refusal(queues.addMember('nowhere', 'anna', options))).code).toBe('queue_not_found');
      await queues.putQueue({ name: 'all', strategy: 'manual' }, options);
      expect((await refusal(queues.addMember('all', 'nobody', options))).code).toBe('alert_assignee_unknown');
      await queues.addMember('all', 'anna', options);
      await queues.addMember('all', 'anna', options);
    });
    expect(await queues.listQueues()).toEqual([
      {
        name: 'all',
        alertTypes: null,
        severities: null,
        strategy: 'manual',
        priority: 100,
        isActive: true,
        members: ['anna'],
      },
    ]);
    expect(await queues.removeMember('all', 'anna')).toBe(true);
    expect(await queues.removeMember('all', 'anna')).toBe(false);
  });

  test('several alerts at once: each by itself, with what became of it', async () => {
    const [one, other, decided] = await raiseSeveral(3);
    const ids = [one, other, decided].map((alert) => alert?.alertId ?? '');
    await compliance.resolve(ids[2] ?? '', 'Settled', { actor: 'anna' });
    const dismissAll = (transaction = database.db) =>
      bulk([...ids, 'alert_of_nobody'], (id) => compliance.dismiss(id, 'Nothing', { actor: 'otto', transaction }));
    expect(await database.transaction(dismissAll)).toMatchObject([
      { alertId: ids[0], outcome: 'done', alert: { status: 'dismissed', resolvedBy: 'otto' } },
      { alertId: ids[1], outcome: 'done' },
      { alertId: ids[2], outcome: 'refused', error: { code: 'alert_move_not_allowed' } },
      { alertId: 'alert_of_nobody', outcome: 'refused', error: { code: 'alert_not_found' } },
    ]);
    expect((await compliance.getAlert(ids[0] ?? '')).status).toBe('dismissed');

    for (const count of [0, 501]) {
      expect(await refusal(bulk(Array.from({ length: count }, String), (id) => compliance.getAlert(id)))).toMatchObject(
        {
          code: 'alert_invalid',
          field: 'alertIds',
        },
      );
    }
  });
});
