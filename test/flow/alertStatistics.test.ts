import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import type { AlertCounts } from '../../src/compliance/alertStatistics.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import type { Database } from '../../src/database/database.ts';
import { asUser, type User } from '../support/asUser.ts';
import { addPastAlerts } from '../support/pastAlerts.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** As `getCounts` says it, counted in the table itself. */
async function countedDirectly({ db }: Database): Promise<Omit<AlertCounts, 'byStatus'> & { byStatus: unknown }> {
  const { rows } = await sql<{ counts: Omit<AlertCounts, 'byStatus'> & { byStatus: unknown } }>`
    with counted as (
      select *, status in ('open', 'in_review', 'escalated') as is_undecided from moonpay_compliance_alerts where merged_into is null
    ), current as (select * from counted where archived_at is null)
    select jsonb_build_object(
      'byStatus', (
        select jsonb_object_agg(status, by_severity) from (
          select status, jsonb_object_agg(severity, (
            select count(*) from current c where c.status = given.status and c.severity = words.severity)) as by_severity
          from unnest('{open,in_review,escalated,resolved,dismissed}'::text[]) as given (status)
          cross join unnest('{low,medium,high,critical}'::text[]) as words (severity)
          group by status) as each_status),
      'undecided', (
        select jsonb_build_object('alerts', count(*), 'unassigned', count(*) filter (where assigned_to is null),
          'breached', count(*) filter (where breached_at is not null),
          'byType', (select coalesce(jsonb_object_agg(alert_type, n), '{}') from (
            select alert_type, count(*) as n from current where is_undecided group by alert_type) as types))
        from current where is_undecided),
      'archived', (select count(*) from counted where archived_at is not null)) as counts
  `.execute(db);
  return (
    rows[0]?.counts ?? { byStatus: {}, undecided: { alerts: 0, unassigned: 0, breached: 0, byType: {} }, archived: 0 }
  );
}

const fold = async ({ db }: Database): Promise<number> => {
  const { rows } = await sql<{ folded: number }>`select moonguard.fold_alert_counts() as folded`.execute(db);
  return rows[0]?.folded ?? 0;
};

forEachDatabase('statistics of alerts', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const raise = (severity: Alert['severity'], alertType: Alert['alertType']): Promise<Alert> =>
    compliance.createAlert({ alertType, severity, title: 'Counted' });

  test('count what there is after every step of a life, before and after folding', async () => {
    const actor = { actor: 'anna' };
    const steps: (() => Promise<unknown>)[] = [];
    const { id } = await raise('high', 'kyc_verification');
    const other = await raise('low', 'pep_screening');
    steps.push(
      () => compliance.assign(id, 'anna', actor),
      () => compliance.startReview(id, actor),
      () => compliance.comment(id, 'Looks odd', actor),
      () => compliance.escalate(id, {}, actor),
      () => compliance.resolve(id, 'Settled', actor),
      () => compliance.reopen(id, 'Not settled', actor),
      () => compliance.dismiss(id, 'Nothing', actor),
      () => sql`update moonpay_compliance_alerts set archived_at = now() where id = ${id}`.execute(database.db),
      () => sql`update moonpay_compliance_alerts set severity = 'critical' where id = ${other.id}`.execute(database.db),
      () =>
        sql`update moonpay_compliance_alerts set triggered_at = triggered_at - interval '3 days' where id = ${other.id}`.execute(
          database.db,
        ),
    );
    for (const [place, step] of steps.entries()) {
      await step();
      const counts = await compliance.getCounts();
      expect(counts, `step ${place}`).toEqual(await countedDirectly(database));
      if (place % 3 === 0) {
        await fold(database);
        expect(await compliance.getCounts(), `step ${place}, folded`).toEqual(counts);
      }
    }
    expect(await compliance.getStats()).toEqual({ openBySeverity: (await compliance.getCounts()).byStatus.open });
    expect(
      (await compliance.getTrend({ since: new Date(Date.UTC(2000, 0, 1)) })).reduce(
        (sum, { alerts }) => sum + alerts,
        0,
      ),
    ).toBe(2);
  });

  test('count anew what triggers did not see', async () => {
    await addPastAlerts(database, [
      { severity: 'critical', breached_at: '2026-01-01T00:00:00Z' },
      { merged_into: randomUUID() },
    ]);
    expect(await compliance.getCounts()).toEqual(await countedDirectly(database));
    expect(await fold(database)).toBe(0);
  });

  test('measure the alerts of a window', async () => {
    const at = (minutes: number) => new Date(Date.UTC(2025, 5, 1, 0, minutes)).toISOString();
    const raised = { triggered_at: at(0), created_at: at(0), updated_at: at(0) };
    const decided = (status: string, minutes: number, person: string) => ({
      ...raised,
      status,
      resolved_by: person,
      first_reviewed_at: at(minutes / 2),
      resolved_at: at(minutes),
    });
    await addPastAlerts(database, [
      decided('resolved', 10, 'anna'),
      decided('dismissed', 20, 'anna'),
      { ...decided('dismissed', 60, 'otto'), breached_at: at(50), severity: 'critical' },
      { ...raised, assigned_to: 'otto', severity: 'critical' },
      { ...decided('dismissed', 1, 'mia'), suppression_id: randomUUID() },
      { ...decided('resolved', 1, 'anna'), merged_into: randomUUID() },
      { ...raised, triggered_at: at(1) },
    ]);
    const window = { since: new Date(at(0)), until: new Date(at(1)) };

    expect(await compliance.getMetrics(window)).toEqual({
      alerts: 6,
      suppressed: 1,
      merged: 1,
      decided: 3,
      firstReviewMinutes: { median: 10, p95: 28 },
      resolveMinutes: { median: 20, p95: 56 },
      breachRate: 25,
      falsePositiveRate: 66.67,
      parts: [],
    });
    expect((await compliance.getMetrics({ ...window, by: 'person' })).parts).toMatchObject([
      { name: 'anna', alerts: 3, merged: 1, decided: 2, falsePositiveRate: 50, breachRate: 0 },
      { name: 'mia', alerts: 1, suppressed: 1, decided: 0, breachRate: null, falsePositiveRate: null },
      { name: 'otto', alerts: 2, decided: 1, resolveMinutes: { median: 60, p95: 60 }, breachRate: 50 },
    ]);
    expect(
      (await compliance.getMetrics({ ...window, by: 'severity' })).parts.map(({ name, alerts }) => [name, alerts]),
    ).toEqual([
      ['critical', 2],
      ['medium', 4],
    ]);
    expect((await compliance.getMetrics({ ...window, by: 'type' })).parts).toMatchObject([
      { name: 'aml_screening', alerts: 6 },
    ]);
    expect(await refusal(compliance.getMetrics({ since: new Date(Number.NaN) }))).toMatchObject({
      code: 'alert_invalid',
      field: 'since',
    });
  });

  test('show a trend by day in UTC, also of days without alerts', async () => {
    const triggered = (at: string, more: object = {}) => ({ triggered_at: at, ...more });
    await addPastAlerts(database, [
      triggered('2024-02-28T23:59:59.999Z', { severity: 'high' }),
      triggered('2024-03-01T00:00:00+05:00', { severity: 'low', status: 'resolved' }),
      triggered('2024-02-29T12:00:00Z', { severity: 'low' }),
      triggered('2024-03-02T00:00:00Z'),
    ]);
    const none = { low: 0, medium: 0, high: 0, critical: 0 };
    expect(
      await compliance.getTrend({ since: new Date('2024-02-28T12:00:00Z'), until: new Date('2024-03-02T00:00:00Z') }),
    ).toEqual([
      { day: '2024-02-28', alerts: 1, undecided: 1, bySeverity: { ...none, high: 1 } },
      { day: '2024-02-29', alerts: 2, undecided: 1, bySeverity: { ...none, low: 2 } },
      { day: '2024-03-01', alerts: 0, undecided: 0, bySeverity: none },
    ]);
    expect(await compliance.getTrend({ since: new Date('2000-01-01') })).toHaveLength(1_500);
    expect(await compliance.getTrend()).toHaveLength(31);
  });

  test('are for those who may read alerts', async () => {
    const seen = (role: User['role']) =>
      asUser(database, { sub: 'somebody', role }, (transaction) => compliance.getCounts({ transaction }));
    expect(await seen('auditor')).toEqual(await compliance.getCounts());
    const { undecided, archived } = await seen('developer');
    expect([undecided.alerts, archived]).toEqual([0, 0]);
  });
});

test('writers and folders at the same time lose no count (postgres)', async () => {
  const database = await openTestDatabase('postgres');
  const compliance = new ComplianceService({ database });
  const write = async (writer: number): Promise<void> => {
    for (let turn = 0; turn < 15; turn++) {
      const { id } = await compliance.createAlert({
        alertType: 'aml_screening',
        severity: turn % 2 === 0 ? 'low' : 'high',
        title: 'At once',
      });
      await compliance.assign(id, `writer ${writer}`);
      if (turn % 3 === 0) await compliance.dismiss(id, 'Nothing');
    }
  };
  const foldOften = async (): Promise<void> => {
    for (let turn = 0; turn < 60; turn++) await fold(database);
  };
  await Promise.all([...[1, 2, 3, 4].map(write), foldOften(), foldOften()]);
  await fold(database);

  expect(await compliance.getCounts()).toEqual(await countedDirectly(database));
  expect((await compliance.getCounts()).undecided).toMatchObject({ alerts: 40, unassigned: 0 });
  const { rows } = await sql`select from moonguard.alert_count_changes`.execute(database.db);
  expect(rows).toEqual([]);
  await database.close();
});
