import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import type { MoonguardError } from '../../src/errors.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const highRisk = {
  alertType: 'aml_screening',
  severity: 'high',
  riskScore: 85,
  title: 'High Risk Customer Detected',
} as const;

forEachDatabase('bad input about alerts', (open) => {
  let database: TestDatabase;
  let complianceService: ComplianceService;

  beforeAll(async () => {
    database = await open();
    complianceService = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const create = (input: object): Promise<MoonguardError> =>
    refusal(complianceService.createAlert(JSON.parse(JSON.stringify({ ...highRisk, ...input }))));

  test('is answered with all that is wrong at once', async () => {
    const error = await create({
      alertType: 'bogus',
      severity: undefined,
      riskScore: 101,
      title: '  ',
      sevrity: 'high',
    });
    expect(error.code).toBe('alert_invalid');
    expect(error.problems.map(({ code, field }) => [code, field])).toEqual([
      ['unknown_value', 'alertType'],
      ['required', 'severity'],
      ['empty', 'title'],
      ['too_big', 'riskScore'],
      ['unknown_field', 'sevrity'],
    ]);
  });

  test.each<[field: string, code: string, input: object]>([
    ['severity', 'unknown_value', { severity: 'urgent' }],
    ['riskScore', 'too_small', { riskScore: -1 }],
    ['riskScore', 'wrong_type', { riskScore: 1.5 }],
    ['riskScore', 'wrong_type', { riskScore: '85' }],
    ['title', 'too_long', { title: 'ä'.repeat(33_000) }],
    ['description', 'not_storable', { description: 'a\0b' }],
    ['customerId', 'empty', { customerId: '' }],
    ['customerId', 'too_long', { customerId: 'c'.repeat(501) }],
    ['details', 'wrong_type', { details: [] }],
    ['details', 'not_storable', { details: { name: 'a\0b' } }],
    ['details', 'too_long', { details: { text: 'x'.repeat(300_000) } }],
  ])('%s: %s', async (field, code, input) => {
    expect((await create(input)).problems).toMatchObject([{ code, field }]);
  });

  test('that JSON cannot carry', async () => {
    const attempts: [object, string][] = [
      [{ riskScore: Number.NaN }, 'riskScore'],
      [{ details: { amount: 10n } }, 'details'],
      [{ dueAt: new Date('never') }, 'dueAt'],
    ];
    for (const [input, field] of attempts) {
      expect((await refusal(complianceService.createAlert({ ...highRisk, ...input }))).field).toBe(field);
    }
  });

  test('in a move', async () => {
    const { id } = await complianceService.createAlert(highRisk);
    expect(await refusal(complianceService.resolve(id, 'n'.repeat(1_000_000)))).toMatchObject({
      code: 'alert_invalid',
      problems: [{ code: 'too_long', field: 'notes' }],
    });
    expect((await refusal(complianceService.resolve(id, 'Settled', { actor: '' }))).field).toBe('actor');
    expect((await refusal(complianceService.assign(id, ''))).field).toBe('assignedTo');
    const unknown = JSON.parse('"closed"');
    expect((await refusal(complianceService.updateAlertStatus(id, unknown, 'x'))).field).toBe('status');
  });

  test.each([
    ['empty', ''],
    ['unknown', 'alert_of_nobody'],
    ['an unknown UUID', '00000000-0000-7000-8000-000000000000'],
    ['not storable', 'a\0b'],
    ['endless', 'x'.repeat(10_000)],
  ])('an id that is %s is the id of no alert', async (_, alertId) => {
    const attempts = [
      () => complianceService.getAlert(alertId),
      () => complianceService.startReview(alertId),
      () => complianceService.getTimeline(alertId),
    ];
    for (const attempt of attempts) expect((await refusal(attempt())).code).toBe('alert_not_found');
  });

  test('that only the database refuses has its field too', async () => {
    await sql`alter table moonpay_compliance_alerts add constraint one_office check (metadata ->> 'office' <> 'Atlantis')`.execute(
      database.db,
    );
    expect(
      await refusal(complianceService.createAlert({ ...highRisk, metadata: { office: 'Atlantis' } })),
    ).toMatchObject({
      code: 'alert_invalid',
      field: 'oneOffice',
    });
  });
});
