import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { alertWriteError } from '../../src/compliance/alertErrors.ts';
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
    expect(await refusal(complianceService.resolve(id, 'Settled', { actor: '' }))).toMatchObject({
      code: 'alert_actor_missing',
      field: 'actor',
    });
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

  const long = 'n'.repeat(1_000_000);
  test.each<[what: string, column: string, value: unknown, field: string, input: object]>([
    ['an unknown type', 'alert_type', 'bogus', 'alertType', { alertType: 'bogus' }],
    ['an unknown severity', 'severity', 'urgent', 'severity', { severity: 'urgent' }],
    ['a score of 101', 'risk_score', 101, 'riskScore', { riskScore: 101 }],
    ['a title of blanks', 'title', ' \n', 'title', { title: ' \n' }],
    ['a title of 1 MB', 'title', long, 'title', { title: long }],
    ['a description of 1 MB', 'description', long, 'description', { description: long }],
    ['an empty customer', 'customer_id', '', 'customerId', { customerId: '' }],
    ['a customer of 501 characters', 'customer_id', 'c'.repeat(501), 'customerId', { customerId: 'c'.repeat(501) }],
    ['details of 1 MB', 'details', JSON.stringify({ long }), 'details', { details: { long } }],
  ])('%s is refused in SQL for the same field', async (_, column, value, field, input) => {
    expect((await create(input)).field).toBe(field);
    const row = { alert_type: 'aml_screening', severity: 'high', title: 'Suspicion', [column]: value };
    const insert = sql`
      insert into moonpay_compliance_alerts (${sql.join(Object.keys(row).map((name) => sql.ref(name)))})
      values (${sql.join(Object.values(row))})
    `.execute(database.db);
    const error = alertWriteError(await insert.then(String, (refused: unknown) => refused));
    expect(error).toMatchObject({ code: 'alert_invalid', field });
  });

  test('256 KiB of JSON are taken in code and in SQL, and one byte more by neither', async () => {
    // PostgreSQL writes a blank after each comma: as text these are half as long again.
    const numbers = Array.from({ length: 100_000 }, () => 0);
    const details = (bytes: number) => {
      const rest = bytes - JSON.stringify({ numbers, rest: '' }).length;
      return { numbers, rest: 'ä'.repeat(Math.floor(rest / 2)) + 'x'.repeat(rest % 2) };
    };
    const most = 256 * 1024;
    const insert = (given: object) =>
      sql`insert into moonpay_compliance_alerts (alert_type, title, details)
        values ('aml_screening', 'Suspicion', ${JSON.stringify(given)}::jsonb)`.execute(database.db);
    const { id } = await complianceService.createAlert({ ...highRisk, details: details(most), dedupeKey: 'long' });
    // A further hit is as long.
    expect(
      await complianceService.createAlert({ ...highRisk, details: details(most), dedupeKey: 'long' }),
    ).toMatchObject({
      id,
    });
    await insert(details(most));

    const error = await create({ details: details(most + 1) });
    expect(error.message).toBe('details: at most 262144 bytes of JSON');
    await expect(insert(details(most + 1))).rejects.toMatchObject({
      constraint: 'moonpay_compliance_alerts_details_check',
      message: error.message,
    });
    await expect(
      sql`insert into moonguard.alert_hits (alert_id, severity, title, details)
        values (${id}, 'low', 'Again', ${JSON.stringify(details(most + 1))}::jsonb)`.execute(database.db),
    ).rejects.toMatchObject({ message: error.message });
  });

  test('a score that is no number is refused in SQL too', async () => {
    for (const score of ['NaN', 'Infinity']) {
      const insert = sql`insert into moonpay_compliance_alerts (alert_type, title, risk_score) values ('aml_screening', 't', ${score})`;
      await expect(insert.execute(database.db)).rejects.toMatchObject({ code: '22P02' });
    }
  });

  test.each<[what: string, code: string, set: string, input: (id: string) => Promise<unknown>]>([
    [
      'a move by nobody',
      'alert_actor_missing',
      "status = 'escalated'",
      (id) => complianceService.escalate(id, {}, { actor: '' }),
    ],
    [
      'a stale version',
      'alert_version_stale',
      "assigned_to = 'otto', version = 7",
      (id) => complianceService.assign(id, 'otto', { expectedVersion: 7 }),
    ],
    [
      'notes of 1 MB',
      'alert_invalid',
      `status = 'resolved', resolved_by = 'otto', resolution_notes = '${long}'`,
      (id) => complianceService.resolve(id, long, { actor: 'otto' }),
    ],
    [
      'a decision without notes',
      'alert_resolution_incomplete',
      "status = 'resolved', resolved_by = 'otto'",
      (id) => complianceService.resolve(id, undefined, { actor: 'otto' }),
    ],
    [
      'a proposal by nobody',
      'alert_actor_missing',
      "proposed_status = 'resolved', proposed_notes = 'n'",
      (id) => complianceService.proposeDecision(id, 'resolved', 'n'),
    ],
  ])('%s has the same code in code and in SQL', async (_, code, set, input) => {
    const { id } = await complianceService.createAlert(highRisk);
    expect((await refusal(input(id))).code).toBe(code);
    const update = sql`update moonpay_compliance_alerts set ${sql.raw(set)} where id = ${id}`.execute(database.db);
    expect(alertWriteError(await update.then(String, (refused: unknown) => refused))).toMatchObject({ code });
  });

  test('in an attachment or a comment is refused in SQL too', async () => {
    const { id } = await complianceService.createAlert(highRisk);
    const document = { name: 'passport.pdf', uri: 's3://kyc/passport.pdf', sha256: 'a'.repeat(64), bytes: 1024 };
    const attachments = [
      { ...document, sha256: 'A'.repeat(64) },
      { ...document, uri: 'passport.pdf' },
      { ...document, bytes: -1 },
      { ...document, bytes: 1.5 },
      { ...document, name: '' },
      { ...document, content: 'x' },
    ];
    const add = (attachment: object) =>
      database.transaction(async (transaction) => {
        await sql`select set_config('moonguard.actor', 'anna', true)`.execute(transaction);
        await sql`
          insert into moonguard.alert_timeline (alert_id, action, attachment)
          values (${id}, 'attached', ${JSON.stringify(attachment)}::jsonb)
        `.execute(transaction);
      });
    for (const attachment of attachments) {
      expect(await refusal(complianceService.attach(id, attachment, { actor: 'anna' }))).toMatchObject({
        code: 'alert_invalid',
      });
      await expect(add(attachment)).rejects.toMatchObject({ constraint: 'alert_timeline_attachment_check' });
    }
    await add(document);
    expect(await complianceService.attach(id, document, { actor: 'anna' })).toMatchObject({
      action: 'attached',
      actor: 'anna',
      attachment: document,
    });
    expect(
      await complianceService.comment(id, 'Please look', { actor: 'anna', mentions: ['otto', 'otto'] }),
    ).toMatchObject({ mentions: ['otto'] });
    expect((await refusal(complianceService.comment(id, long, { actor: 'anna' }))).field).toBe('text');
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
