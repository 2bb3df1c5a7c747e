import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { CustomerService, type IdentityCheckInput } from '../../src/compliance/CustomerService.ts';
import { installDefaultPolicies } from '../../src/policy/defaultPolicies.ts';
import { PolicyService } from '../../src/policy/PolicyService.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const rejected: IdentityCheckInput = {
  environment: 'production',
  checkId: 'check_1',
  customerId: 'customer_1',
  result: 'rejected',
  rejectType: 'retry',
};

forEachDatabase('customers', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let policies: PolicyService;
  let customerService: CustomerService;

  beforeAll(async () => {
    database = await open();
    await installDefaultPolicies(database);
    compliance = new ComplianceService({ database });
    policies = new PolicyService({ database, compliance });
    customerService = new CustomerService({ database, compliance, policies });
  });
  afterAll(() => database.close());

  test('a rejected identity check becomes one alert, which gets worse with the check', async () => {
    const first = await customerService.recordIdentityCheck(rejected, { actor: 'importer' });
    expect(first).toMatchObject({
      alertType: 'kyc_verification',
      severity: 'medium',
      customerId: 'customer_1',
      entityType: 'customer',
      source: 'policy_evaluation',
      occurrenceCount: 1,
    });
    const second = await customerService.recordIdentityCheck({ ...rejected, rejectType: 'final' });
    expect(second).toMatchObject({ id: first?.id, severity: 'high', occurrenceCount: 2 });

    const { items } = await policies.listLogs({ correlationId: 'check_check_1', policyId: 'kyc_policy_moonpay' });
    expect(
      items.map(({ actionType, executedBy, complianceImpact }) => [actionType, executedBy, complianceImpact]),
    ).toEqual([
      ['rule_triggered', 'system', 'high'],
      ['rule_triggered', 'importer', 'medium'],
    ]);
    expect((await customerService.listKycIssues({ customerId: 'customer_1' })).items).toEqual([second]);

    await compliance.dismiss(second?.id ?? '', 'Documents came by mail');
    expect((await customerService.listKycIssues({ customerId: 'customer_1' })).items).toEqual([]);
  });

  test('a clear check is in the log and raises nothing', async () => {
    expect(
      await customerService.recordIdentityCheck({ ...rejected, checkId: 'clear', result: 'clear' }),
    ).toBeUndefined();
    expect((await policies.listLogs({ correlationId: 'check_clear' })).items).toMatchObject([
      { actionType: 'rule_passed', policyId: 'moonguard_decision' },
    ]);
  });

  test("goes back with the caller's transaction", async () => {
    const attempt = database.transaction(async (transaction) => {
      await customerService.recordIdentityCheck({ ...rejected, checkId: 'rollback' }, { transaction });
      throw new Error('the caller changed its mind');
    });
    await expect(attempt).rejects.toThrow('the caller changed its mind');
    expect((await policies.listLogs({ correlationId: 'check_rollback' })).items).toEqual([]);
  });

  test('a check of nobody is refused', async () => {
    const { customerId: _, ...ofNobody } = rejected;
    expect(await refusal(customerService.recordIdentityCheck(ofNobody))).toMatchObject({
      code: 'request_invalid',
      problems: [{ code: 'required', field: 'customerId' }],
    });
  });

  test("are found by MoonPay's id, then by your own", async () => {
    await sql`
      insert into moonpay_customers (moonpay_customer_id, external_customer_id, email, identity_verification_status)
      values ('moonpay_1', 'mine_1', 'a@example.com', 'completed'), ('moonpay_2', 'moonpay_1', null, 'pending')
    `.execute(database.db);
    const expected = {
      moonpayCustomerId: 'moonpay_1',
      email: 'a@example.com',
      identityVerificationStatus: 'completed',
    };
    expect(await customerService.getCustomer('mine_1')).toMatchObject(expected);
    expect(await customerService.getCustomer('moonpay_1')).toMatchObject(expected);
    expect((await refusal(customerService.getCustomer('nobody'))).code).toBe('customer_not_found');
  });
});
