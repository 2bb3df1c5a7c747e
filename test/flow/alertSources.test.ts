import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { CustomerService, type IdentityCheckInput } from '../../src/compliance/CustomerService.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { PolicyService } from '../../src/policy/PolicyService.ts';
import { testWithShared } from '../support/besideCheckout.ts';
import { buyEvent, examplePayloads } from '../support/moonpay.ts';
import { startReceiving } from '../support/receivingServer.ts';
import { refusal } from '../support/refusal.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase("MoonPay's webhooks as a source of alerts", (open) => {
  let database: TestDatabase;

  beforeEach(async () => {
    database = await open();
    onTestFinished(() => database.close());
  });

  /** Posts each body ten times over HTTP, and returns once everything is decided. */
  async function receiveTenTimes(bodies: readonly (string | Uint8Array)[]): Promise<void> {
    const signals = observed();
    const { moonguard, post } = await startReceiving({ database }, { observe: signals.observe });
    await moonguard.start();
    const stored = new Set<string>();
    for (const body of bodies) {
      for (let time = 0; time < 10; time++) {
        const response = await post(body);
        expect(response.status).toBe(200);
        const { event_id }: { event_id: string } = JSON.parse(await response.text());
        stored.add(event_id);
      }
    }
    // What came late is never decided on.
    const isOver = ({ type }: Observation): boolean => type === 'event.decided' || type === 'event.late';
    for (const _ of stored) await signals.next(isOver);
  }

  testWithShared(
    'each payload that means something raises the expected alert once, sent ten times; the rest raises none',
    async () => {
      await receiveTenTimes(examplePayloads().map(({ body }) => body));

      const { rows } = await sql<object>`
      select alert_type, severity, status, title, occurrence_count, entity_type from moonpay_compliance_alerts order by id
    `.execute(database.db);
      const common = { status: 'open', alert_type: 'kyc_verification', severity: 'medium', occurrence_count: 1 };
      const identity = { ...common, title: 'Identity check rejected, to be tried again', entity_type: 'customer' };
      const failure = { ...common, title: 'Transaction failed: identity rejected', entity_type: 'transaction' };
      expect(rows).toEqual([identity, identity, failure]);
      expect((await sql`select from moonguard.alert_hits`.execute(database.db)).rows).toHaveLength(3);
    },
  );

  test('what happens to one wallet is linked, whoever the customer is', async () => {
    const failed = (id: string, more: object) =>
      buyEvent(
        { id, status: 'failed', failureReason: 'rejected_other', walletAddress: '0xsame', ...more },
        'transaction_failed',
      );
    await receiveTenTimes([
      failed('tx_1', { customerId: 'one' }),
      failed('tx_2', { customerId: 'other' }),
      failed('tx_3', { customerId: 'third', walletAddress: '0xother' }),
    ]);

    const { items } = await new ComplianceService({ database }).listAlerts();
    const byTransaction = new Map(items.map((alert) => [alert.transactionId, alert]));
    const [one, other, third] = ['tx_1', 'tx_2', 'tx_3'].map((id) => byTransaction.get(id));
    expect(one).toMatchObject({
      walletAddress: '0xsame',
      relatedAlerts: [other?.alertId],
      correlationId: expect.stringMatching(/^evt_/),
    });
    expect(other).toMatchObject({ relatedAlerts: [one?.alertId] });
    expect(third).toMatchObject({ walletAddress: '0xother', relatedAlerts: [] });
  });
});

forEachDatabase('the services as sources of alerts', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let policies: PolicyService;
  let customers: CustomerService;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
    policies = new PolicyService({ database, compliance });
    customers = new CustomerService({ database, compliance, policies });
  });
  afterAll(() => database.close());

  describe('an identity check', () => {
    const check: IdentityCheckInput = {
      environment: 'production',
      checkId: 'check_1',
      customerId: 'moonpay_1',
      result: 'clear',
    };
    const minute = (minutes: number): Date => new Date(Date.UTC(2026, 0, 1, 0, minutes));

    test.each([
      ['clear', 'completed'],
      ['rejected', 'failed'],
      [undefined, 'pending'],
    ] as const)('that is %s makes the state of the customer %s', async (result, state) => {
      const customerId = `result_${state}`;
      await customers.recordIdentityCheck({ ...check, customerId, result, rejectType: 'final' });
      expect(await customers.getCustomer(customerId)).toMatchObject({
        moonpayCustomerId: customerId,
        environment: 'production',
        identityVerificationStatus: state,
        kycCheckId: 'check_1',
        kycResult: result ?? null,
        kycUpdatedAt: expect.any(Date),
      });
    });

    test('moves the state forward only', async () => {
      const customerId = 'forward';
      await customers.recordIdentityCheck({ ...check, customerId, checkedAt: minute(10) });
      await customers.recordIdentityCheck({ ...check, customerId, result: 'rejected', checkedAt: minute(5) });
      expect(await customers.getCustomer(customerId)).toMatchObject({
        identityVerificationStatus: 'completed',
        kycUpdatedAt: minute(10),
      });
      await customers.recordIdentityCheck({ ...check, customerId, result: 'rejected', checkedAt: minute(15) });
      expect(await customers.getCustomer(customerId)).toMatchObject({
        identityVerificationStatus: 'failed',
        kycUpdatedAt: minute(15),
      });
    });

    test('of a customer of yours is kept on your row, by your id alone or by both', async () => {
      await sql`insert into moonpay_customers (external_customer_id, email) values ('mine', 'a@example.com')`.execute(
        database.db,
      );
      await customers.recordIdentityCheck({ ...check, customerId: undefined, externalCustomerId: 'mine' });
      expect(await customers.getCustomer('mine')).toMatchObject({
        email: 'a@example.com',
        moonpayCustomerId: null,
        identityVerificationStatus: 'completed',
      });
      await customers.recordIdentityCheck({
        ...check,
        customerId: 'theirs',
        externalCustomerId: 'mine',
        result: 'rejected',
      });
      expect(await customers.getCustomer('theirs')).toMatchObject({
        email: 'a@example.com',
        externalCustomerId: 'mine',
        identityVerificationStatus: 'failed',
      });

      await customers.recordIdentityCheck({ ...check, customerId: undefined, externalCustomerId: 'new to us' });
      expect(await customers.getCustomer('new to us')).toMatchObject({ identityVerificationStatus: 'completed' });
    });

    test('in the sandbox never touches a customer of yours in production', async () => {
      await sql`insert into moonpay_customers (external_customer_id) values ('real')`.execute(database.db);
      await customers.recordIdentityCheck({
        ...check,
        environment: 'sandbox',
        customerId: undefined,
        externalCustomerId: 'real',
      });
      expect(await customers.getCustomer('real')).toMatchObject({
        environment: null,
        identityVerificationStatus: 'pending',
      });
    });
  });

  describe('a violation of a policy', () => {
    const violation = {
      policyId: 'transaction_limit_policy',
      customerId: 'v',
      violationDetails: { attemptedAmount: 50_000, limit: 10_000 },
    };
    const alertsAbout = async (customerId: string) => (await compliance.listAlerts({ customerId })).items;

    test('is an alert as severe as its impact, which names the row of the log', async () => {
      const { logId } = await policies.logViolation(
        { ...violation, complianceImpact: 'critical', correlationId: 'matter' },
        { actor: 'checkout' },
      );
      const [alert] = await alertsAbout('v');
      expect(alert).toMatchObject({
        alertType: 'policy_violation',
        severity: 'critical',
        title: 'Policy violated: transaction_limit_policy',
        entityType: 'customer',
        entityId: 'v',
        details: { policyId: 'transaction_limit_policy', violation: violation.violationDetails },
        externalReference: logId,
        correlationId: 'matter',
        autoGenerated: true,
        source: 'policy_service',
      });
      expect((await compliance.getTimeline(alert?.id ?? ''))[0]).toMatchObject({ actor: 'checkout' });
    });

    test('is one alert for each policy and subject', async () => {
      for (const customerId of ['twice', 'twice', 'once']) await policies.logViolation({ ...violation, customerId });
      await policies.logViolation({ ...violation, customerId: 'twice', policyId: 'kyc_policy_001' });
      expect(
        (await alertsAbout('twice')).map(({ occurrenceCount }) => occurrenceCount).toSorted((a, b) => a - b),
      ).toEqual([1, 2]);
      expect(await alertsAbout('once')).toMatchObject([{ occurrenceCount: 1 }]);
    });

    test('raises none where the caller does', async () => {
      await policies.logViolation({ ...violation, customerId: 'quiet', alert: false });
      expect(await alertsAbout('quiet')).toEqual([]);
    });

    test('and its alert are written together or not at all', async () => {
      await sql`alter table moonpay_compliance_alerts add constraint nobody check (customer_id <> 'refused')`.execute(
        database.db,
      );
      expect((await refusal(policies.logViolation({ ...violation, customerId: 'refused' }))).code).toBe(
        'alert_invalid',
      );
      expect((await policies.listLogs({ customerId: 'refused' })).items).toEqual([]);
    });
  });
});
