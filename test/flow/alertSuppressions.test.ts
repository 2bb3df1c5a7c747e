import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import type { NewAlertInput } from '../../src/compliance/alertInput.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { listHits } from '../../src/compliance/hits.ts';
import { SuppressionService } from '../../src/compliance/SuppressionService.ts';
import type { NewSuppressionInput, Suppression } from '../../src/compliance/suppression.ts';
import { asUser, type User } from '../support/asUser.ts';
import { attempt, signedIn } from '../support/caller.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const anna = { actor: 'anna' };
const otto = { actor: 'otto' };
const analyst: User = { sub: 'anna', role: 'compliance_analyst' };
const officer: User = { sub: 'olga', role: 'compliance_officer' };
const inAYear = new Date(Date.now() + 365 * 86_400_000);

forEachDatabase('suppressions', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let suppressions: SuppressionService;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
    suppressions = new SuppressionService({ database });
  });
  afterAll(() => database.close());

  const raise = (customerId: string, more: Partial<NewAlertInput> = {}): Promise<Alert> =>
    compliance.createAlert({ alertType: 'pep_screening', severity: 'high', title: 'Found', customerId, ...more });
  const request = (customerId: string, more: Partial<NewSuppressionInput> = {}): Promise<Suppression> =>
    suppressions.request(
      { customerId, alertType: 'pep_screening', reason: 'Same name, other person', expiresAt: inAYear, ...more },
      anna,
    );
  const inForce = async (customerId: string, more: Partial<NewSuppressionInput> = {}): Promise<Suppression> =>
    suppressions.approve((await request(customerId, more)).id, otto);
  const suppressed = (suppression: Suppression) => ({
    status: 'dismissed',
    suppressionId: suppression.id,
    resolvedBy: 'otto',
    resolutionNotes: 'Suppressed: Same name, other person',
    resolvedAt: expect.any(Date),
  });
  const notSuppressed = { status: 'open', suppressionId: null, resolvedBy: null };

  test('dismiss what comes once a second person has approved, and lose nothing of it', async () => {
    const suppression = await request('known');
    expect(suppression).toMatchObject({ state: 'requested', requestedBy: 'anna', approvedBy: null });
    expect(await raise('known')).toMatchObject(notSuppressed);

    expect(await suppressions.approve(suppression.id, otto)).toMatchObject({
      state: 'in_force',
      approvedBy: 'otto',
      approvedAt: expect.any(Date),
    });
    const alert = await raise('known', { dedupeKey: 'known', details: { list: 'a' } });
    expect(alert).toMatchObject(suppressed(suppression));
    expect(await raise('known', { dedupeKey: 'known', title: 'Again', riskScore: 90 })).toMatchObject({
      ...suppressed(suppression),
      id: alert.id,
      occurrenceCount: 2,
      riskScore: 90,
    });
    expect((await listHits(database.db, alert.id)).map(({ title }) => title)).toEqual(['Again', 'Found']);
    expect((await compliance.getTimeline(alert.id))[0]).toMatchObject({ action: 'created', toStatus: 'dismissed' });
  });

  test('concern one customer, one type and one finding', async () => {
    const suppression = await inForce('one finding', { fingerprint: 'entry 1' });
    expect(await raise('one finding', { fingerprint: 'entry 1' })).toMatchObject(suppressed(suppression));
    expect(await raise('one finding', { fingerprint: 'entry 2' })).toMatchObject(notSuppressed);
    expect(await raise('one finding')).toMatchObject(notSuppressed);
    expect(await raise('one finding', { fingerprint: 'entry 1', alertType: 'sanctions_check' })).toMatchObject(
      notSuppressed,
    );
    expect(await raise('another', { fingerprint: 'entry 1' })).toMatchObject(notSuppressed);
  });

  test('leave an alert that somebody works on alone: it takes the hit', async () => {
    const dedupeKey = 'under work';
    const { id } = await raise('under work', { dedupeKey });
    await inForce('under work');
    expect(await raise('under work', { dedupeKey })).toMatchObject({ id, status: 'open', occurrenceCount: 2 });
  });

  describe('end', () => {
    test.each([
      ['the name', "last_name = 'Roe-Doe'"],
      ['the address', `address = '{"city": "Vienna"}'`],
      ['the identity state', "identity_verification_status = 'failed'"],
      ['the result of the check', "kyc_result = 'rejected'"],
    ])('by themselves when %s of the customer changes, at the next alert', async (what, change) => {
      const customerId = `changed: ${what}`;
      await sql`insert into moonpay_customers (moonpay_customer_id, last_name) values (${customerId}, 'Roe')`.execute(
        database.db,
      );
      const suppression = await inForce(customerId);
      await sql`update moonpay_customers set kyc_check_id = 'another check', kyc_updated_at = now(), updated_at = now() where moonpay_customer_id = ${customerId}`.execute(
        database.db,
      );
      const before = await raise(customerId, { dedupeKey: customerId });
      expect(before).toMatchObject(suppressed(suppression));

      await sql`update moonpay_customers set ${sql.raw(change)} where moonpay_customer_id = ${customerId}`.execute(
        database.db,
      );
      const after = await raise(customerId, { dedupeKey: customerId });
      expect(after).toMatchObject({ ...notSuppressed, occurrenceCount: 1 });
      expect(after.id).not.toBe(before.id);
      expect(await suppressions.get(suppression.id)).toMatchObject({
        state: 'ended',
        endedBy: null,
        endedReason: 'the facts of the customer changed',
      });
    });

    test('by themselves when an unknown customer becomes known', async () => {
      const suppression = await inForce('newcomer');
      await sql`insert into moonpay_customers (external_customer_id) values ('newcomer')`.execute(database.db);
      await sql`select moonguard.end_suppressions()`.execute(database.db);
      expect(await suppressions.get(suppression.id)).toMatchObject({ state: 'ended' });
    });

    test('when they expire, approved or not', async () => {
      const [approved, requested, lasting] = [
        await inForce('expires'),
        await request('expires'),
        await inForce('lasts', { expiresAt: new Date(inAYear.getTime() + 86_400_000) }),
      ];
      const { rows } = await sql<{
        ended: number;
      }>`select moonguard.end_suppressions(${inAYear}::timestamptz) as ended`.execute(database.db);
      expect(rows[0]?.ended).toBeGreaterThanOrEqual(2);
      for (const { id } of [approved, requested]) {
        expect(await suppressions.get(id)).toMatchObject({
          state: 'ended',
          endedAt: inAYear,
          endedReason: 'it expired',
        });
      }
      expect(await suppressions.get(lasting.id)).toMatchObject({ state: 'in_force' });
    });

    test('do nothing past their time, also before the schedule runs', async () => {
      const suppression = await inForce('soon over');
      await database.runScript(`alter table moonguard.alert_suppressions disable trigger user;
        update moonguard.alert_suppressions set expires_at = now() where customer_id = 'soon over';
        alter table moonguard.alert_suppressions enable trigger user`);
      expect(await raise('soon over')).toMatchObject(notSuppressed);
      expect(await suppressions.get(suppression.id)).toMatchObject({ state: 'ended' });
    });

    test('when somebody ends them, with a reason, once', async () => {
      const suppression = await inForce('ended by hand');
      expect(await suppressions.end(suppression.id, 'The list has a photo now', anna)).toMatchObject({
        state: 'ended',
        endedBy: 'anna',
        endedAt: expect.any(Date),
        endedReason: 'The list has a photo now',
      });
      expect(await raise('ended by hand')).toMatchObject(notSuppressed);
      const again = [
        () => suppressions.end(suppression.id, 'Once more', anna),
        () => suppressions.approve(suppression.id, otto),
      ];
      for (const attemptAgain of again) expect((await refusal(attemptAgain())).code).toBe('suppression_invalid');
    });
  });

  test('are never approved by who requested them, by a program or by nobody', async () => {
    const { id } = await request('two persons');
    for (const actor of ['anna', ' ANNA ', 'system']) {
      expect(await refusal(suppressions.approve(id, { actor }))).toMatchObject({
        code: 'suppression_invalid',
        field: 'approvedBy',
      });
    }
    const nobody = JSON.parse('{}'); // a caller without types
    expect((await refusal(suppressions.approve(id, nobody))).code).toBe('alert_actor_missing');
    expect(
      (
        await refusal(
          suppressions.request(
            { customerId: 'c', alertType: 'pep_screening', reason: 'x', expiresAt: inAYear },
            nobody,
          ),
        )
      ).code,
    ).toBe('alert_actor_missing');
    expect(await suppressions.get(id)).toMatchObject({ state: 'requested' });
  });

  test.each([
    ['customerId', { customerId: '' }],
    ['alertType', { alertType: JSON.parse('"bogus"') }],
    ['reason', { reason: ' ' }],
    ['expiresAt', { expiresAt: new Date(0) }],
  ])('name %s where it is wrong', async (field, wrong) => {
    expect(await refusal(request('wrong', wrong))).toMatchObject({ code: 'suppression_invalid', field });
  });

  test('are listed, the newest first', async () => {
    const made: Suppression[] = [];
    for (const fingerprint of ['1', '2', '3']) made.push(await request('listed', { fingerprint }));
    await suppressions.approve(made[1]?.id ?? '', otto);
    const first = await suppressions.list({ customerId: 'listed', limit: 2 });
    const second = await suppressions.list({ customerId: 'listed', limit: 2, cursor: first.nextCursor });
    expect([...first.items, ...second.items].map(({ fingerprint }) => fingerprint)).toEqual(['3', '2', '1']);
    expect((await suppressions.list({ customerId: 'listed', state: 'in_force' })).items).toMatchObject([
      { fingerprint: '2' },
    ]);
    expect((await refusal(suppressions.get('nobody'))).code).toBe('suppression_not_found');
  });

  describe('over SQL', () => {
    const insert = `insert into moonguard.alert_suppressions (customer_id, alert_type, reason, requested_by, expires_at)
      values ('over_sql', 'pep_screening', 'Known', 'somebody else', now() + interval '1 day')`;

    test('an analyst requests under his own name, and an officer approves under hers', async () => {
      await asUser(database, analyst, (transaction) => sql.raw(insert).execute(transaction));
      const [suppression] = (await suppressions.list({ customerId: 'over_sql' })).items;
      expect(suppression).toMatchObject({ requestedBy: 'anna', state: 'requested' });
      const approve = (who: User) =>
        asUser(database, who, (transaction) =>
          sql`update moonguard.alert_suppressions set approved_by = 'whoever' where id = ${suppression?.id}`.execute(
            transaction,
          ),
        );
      expect((await approve(analyst)).numAffectedRows).toBe(0n);
      await expect(approve({ ...officer, sub: 'anna' })).rejects.toMatchObject({
        constraint: 'alert_suppressions_second_person',
      });
      await approve(officer);
      expect(await suppressions.get(suppression?.id ?? '')).toMatchObject({ state: 'in_force', approvedBy: 'olga' });

      // Who raises it is signed in; who answers for the dismissal is who approved it.
      const alert = await asUser(database, analyst, (transaction) =>
        compliance.createAlert(
          { alertType: 'pep_screening', severity: 'high', title: 'Found', customerId: 'over_sql' },
          { transaction },
        ),
      );
      expect(alert).toMatchObject({ status: 'dismissed', resolvedBy: 'olga', suppressionId: suppression?.id });
    });

    test.each([
      [
        'approved at once',
        'compliance_officer',
        `insert into moonguard.alert_suppressions (customer_id, alert_type, reason, requested_by, approved_by, expires_at) values ('c', 'pep_screening', 'r', 'a', 'b', now())`,
      ],
      ['prolonged', 'compliance_officer', `update moonguard.alert_suppressions set expires_at = 'infinity'`],
      ['widened', 'compliance_officer', 'update moonguard.alert_suppressions set fingerprint = null'],
      ['taken away', 'admin', 'delete from moonguard.alert_suppressions'],
      ['requested by an auditor', 'auditor', insert],
      ['requested by a developer', 'developer', insert],
    ])('is never %s', async (_, role, statement) => {
      expect(await attempt(database, signedIn(role), statement)).toMatchObject({ code: '42501' });
    });

    test('its owner does not rewrite it either', async () => {
      const { id } = await inForce('rewritten');
      for (const change of [
        "reason = 'other'",
        "approved_by = 'mia'",
        "expires_at = 'infinity'",
        'fingerprint = null, customer_id = $$c$$',
      ]) {
        const statement = sql`update moonguard.alert_suppressions set ${sql.raw(change)} where id = ${id}`;
        await expect(statement.execute(database.db)).rejects.toMatchObject({
          constraint: 'alert_suppressions_content',
        });
      }
    });
  });

  test('one that is reopened is worked on like any other', async () => {
    await inForce('reopened');
    const alert = await raise('reopened', { dedupeKey: 'reopened' });
    await compliance.reopen(alert.id, 'Let us look again', otto);
    expect(await raise('reopened', { dedupeKey: 'reopened' })).toMatchObject({
      id: alert.id,
      status: 'open',
      occurrenceCount: 2,
    });
  });
});
