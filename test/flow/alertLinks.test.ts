import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import type { NewAlertInput } from '../../src/compliance/alertInput.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { getGroup } from '../../src/compliance/groups.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { expectCompleteHistory } from './alertHistory.ts';

forEachDatabase('links between alerts', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const raise = (more: Partial<NewAlertInput>): Promise<Alert> =>
    compliance.createAlert({ alertType: 'aml_screening', severity: 'low', title: 'Found', ...more }, { actor: 'anna' });
  const members = async ({ id }: Alert): Promise<string[]> =>
    (await getGroup(database.db, id)).map((alert) => alert.id).toSorted();
  const idsOf = (alerts: readonly Alert[]): string[] => alerts.map(({ id }) => id).toSorted();

  test('are in the timelines of both, and of nobody else', async () => {
    const stranger = await raise({ customerId: 'stranger' });
    const one = await raise({ customerId: 'both' });
    const other = await raise({ customerId: 'both' });
    expect((await compliance.getTimeline(one.id)).at(-1)).toMatchObject({
      action: 'changed',
      actor: 'anna',
      alertVersion: 1,
      fromStatus: 'open',
      toStatus: 'open',
      before: { related_alerts: [] },
      after: { related_alerts: [other.alertId] },
    });
    expect(await compliance.getTimeline(other.id)).toMatchObject([{ after: { related_alerts: [one.alertId] } }]);
    expect(await compliance.getTimeline(stranger.id)).toHaveLength(1);
  });

  test('leave complete histories, whoever sets them and whatever else changes with them', async () => {
    const alerts: Alert[] = [];
    for (let i = 0; i < 12; i++) alerts.push(await raise({ customerId: 'history' }));
    const [first, second, third] = alerts;
    const stranger = await raise({ customerId: 'history of another' });
    await compliance.link(stranger.id, first?.id ?? '', { actor: 'otto' });
    await compliance.unlink(second?.id ?? '', third?.id ?? '', { actor: 'otto' });
    const inSql = (change: string) =>
      sql`update moonpay_compliance_alerts set ${sql.raw(change)} where customer_id = 'history'`.execute(database.db);
    await inSql(`related_alerts = related_alerts[2:]`);
    await inSql(`related_alerts = related_alerts || 'of another system'::text, severity = 'high'`);
    await inSql(`related_alerts = '{}', next_step_at = '2030-01-01'`);
    await inSql(`related_alerts = related_alerts`);

    for (const { id } of [...alerts, stranger]) await expectCompleteHistory(database.db, id);
    const timeline = await compliance.getTimeline(second?.id ?? '');
    // Raised, linked with five newer ones, unlinked from one, and three changes in SQL.
    expect(timeline).toHaveLength(1 + 5 + 1 + 3);
    expect(await members(stranger)).toEqual(idsOf([...alerts, stranger]));
  });

  test('join groups when they are set in SQL, of one alert or of many at once', async () => {
    const [hub, one, other, third] = await Promise.all(
      ['hub', 'spoke 1', 'spoke 2', 'spoke 3'].map((customerId) => raise({ customerId })),
    );
    if (hub === undefined || one === undefined || other === undefined || third === undefined) throw new Error('none');
    await sql`update moonpay_compliance_alerts set related_alerts = ${[one.alertId]} where id = ${hub.id}`.execute(
      database.db,
    );
    expect(await members(one)).toEqual(idsOf([hub, one]));
    await sql`
      update moonpay_compliance_alerts set related_alerts = array_prepend(${one.alertId}, related_alerts)
      where id in (${other.id}, ${third.id})
    `.execute(database.db);
    expect(await members(third)).toEqual(idsOf([hub, one, other, third]));
  });

  test('end at a hundred: after that only the group grows', async () => {
    const full = await raise({ customerId: 'full' });
    const names = Array.from({ length: 100 }, (_, i) => `elsewhere ${i}`);
    await sql`update moonpay_compliance_alerts set related_alerts = ${names} where id = ${full.id}`.execute(
      database.db,
    );
    const next = await raise({ customerId: 'full', walletAddress: '0xfull' });
    expect(next.relatedAlerts).toEqual([]);
    expect((await compliance.getAlert(full.id)).relatedAlerts).toEqual(names);

    const ofWallet = await raise({ walletAddress: '0xother' });
    const last = await raise({ customerId: 'full', walletAddress: '0xother' });
    expect(last.relatedAlerts.toSorted()).toEqual([next.alertId, ofWallet.alertId].toSorted());
    expect(await members(full)).toEqual(idsOf([full, next, ofWallet, last]));
  });

  test('of an alert that somebody is changing: its group has the new alert at once', async () => {
    const [one, ofWallet] = [await raise({ customerId: 'busy' }), await raise({ walletAddress: '0xbusy' })];
    const both = { customerId: 'busy', walletAddress: '0xbusy' };
    const whileLocked = async () => {
      const last = await raise(both);
      expect(await members(one)).toEqual(idsOf([one, ofWallet, last]));
    };
    if (database.kind === 'embedded') return whileLocked();
    return database.transaction(async (transaction) => {
      for (const { id } of [one, ofWallet]) await compliance.assign(id, 'otto', { transaction });
      await whileLocked();
    });
  });
});
