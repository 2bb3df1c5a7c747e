import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import type { AlertFilterInput, NewAlertInput } from '../../src/compliance/alertInput.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const idsOf = (alerts: readonly Alert[]): string[] => alerts.map(({ id }) => id).toSorted();

forEachDatabase('lists of alerts', (open) => {
  let database: TestDatabase;
  let complianceService: ComplianceService;

  beforeAll(async () => {
    database = await open();
    complianceService = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const raise = (more: Partial<NewAlertInput>): Promise<Alert> =>
    complianceService.createAlert({ alertType: 'aml_screening', severity: 'high', title: 'Suspicion', ...more });

  test('give every alert once, page by page, the newest first', async () => {
    const customerId = 'customer_pages';
    // At one microsecond: more digits than a Date holds, and the id decides.
    await sql`
      insert into moonpay_compliance_alerts (alert_type, severity, title, customer_id, triggered_at)
      select 'aml_screening', 'low', 'Alert ' || i, ${customerId}, timestamptz '2026-01-01 00:00:00.000001+00' + i / 3 * interval '1 microsecond'
      from generate_series(1, 10) as i
    `.execute(database.db);
    const seen: Alert[] = [];
    let cursor: string | undefined;
    do {
      const page = await complianceService.listAlerts({ customerId, limit: 3, cursor });
      expect(page.items.length).toBeLessThanOrEqual(3);
      seen.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== undefined);
    const { rows } = await sql<{ id: string }>`
      select id from moonpay_compliance_alerts where customer_id = ${customerId} order by triggered_at desc, id desc
    `.execute(database.db);
    expect(seen.map(({ id }) => id)).toEqual(rows.map(({ id }) => id));
  });

  test('filter', async () => {
    const customerId = 'customer_filters';
    const waiting = await raise({ customerId, severity: 'low', assignedTo: 'anna' });
    const review = await raise({
      customerId,
      severity: 'critical',
      alertType: 'pep_screening',
      transactionId: 'tx_filter',
    });
    await complianceService.startReview(review.id);
    const archived = await raise({ customerId });
    await complianceService.resolve(archived.id, 'Settled');
    await sql`update moonpay_compliance_alerts set archived_at = now() where id = ${archived.id}`.execute(database.db);

    const found = async (filter: AlertFilterInput): Promise<string[]> =>
      idsOf((await complianceService.listAlerts({ customerId, ...filter })).items);
    expect(await found({})).toEqual(idsOf([review, waiting]));
    expect(await found({ status: 'open' })).toEqual(idsOf([waiting]));
    expect(await found({ status: ['open', 'in_review'] })).toEqual(idsOf([review, waiting]));
    expect(await found({ severity: ['critical'] })).toEqual(idsOf([review]));
    expect(await found({ alertType: 'pep_screening' })).toEqual(idsOf([review]));
    expect(await found({ transactionId: 'tx_filter' })).toEqual(idsOf([review]));
    expect(await found({ assignedTo: 'anna' })).toEqual(idsOf([waiting]));
    expect(await found({ assignedTo: null })).toEqual(idsOf([review]));
    expect(await found({ archived: true })).toEqual(idsOf([archived]));
  });

  test('search in title, description and notes, for what was typed', async () => {
    const customerId = 'customer_search';
    const title = await raise({ customerId, title: 'Structuring suspected' });
    const description = await raise({ customerId, description: 'Looks like STRUCTURING below 10% of the limit' });
    const notes = await raise({ customerId });
    await complianceService.dismiss(notes.id, 'No structuring');

    const found = async (searched: string): Promise<string[]> =>
      idsOf((await complianceService.searchAlerts(searched, { customerId })).items);
    expect(await found('structuring')).toEqual(idsOf([notes, description, title]));
    expect(await found('10%')).toEqual(idsOf([description]));
    expect(await found('1_%')).toEqual([]);
  });

  test('refuse a cursor that is not ours', async () => {
    for (const cursor of ['', 'x', Buffer.from('["2026-01-01","1"]').toString('base64url')]) {
      expect(await refusal(complianceService.listAlerts({ cursor }))).toMatchObject({
        code: 'alert_invalid',
        field: 'cursor',
      });
    }
  });

  test('count open alerts by severity', async () => {
    const before = (await complianceService.getStats()).openBySeverity;
    const { id } = await raise({ severity: 'critical' });
    await raise({ severity: 'critical' });
    await raise({ severity: 'low' });
    await complianceService.startReview(id);
    expect((await complianceService.getStats()).openBySeverity).toEqual({
      ...before,
      low: before.low + 1,
      critical: before.critical + 1,
    });
  });
});
