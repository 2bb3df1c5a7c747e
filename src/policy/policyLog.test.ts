import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkedWords } from '../../test/support/checkedWords.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { kycLevels, verificationStatuses } from '../compliance/customer.ts';
import { policyKinds } from './policy.ts';
import {
  actionTypes,
  complianceImpacts,
  executionStatuses,
  logSeverities,
  policyTypeOf,
  policyTypes,
} from './policyLog.ts';

forEachDatabase('the closed lists of policies, their log and customers', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  test.each([
    ['moonpay_policy_logs', 'policy_type', policyTypes],
    ['moonpay_policy_logs', 'action_type', actionTypes],
    ['moonpay_policy_logs', 'execution_status', executionStatuses],
    ['moonpay_policy_logs', 'severity', logSeverities],
    ['moonpay_policy_logs', 'compliance_impact', complianceImpacts],
    ['moonpay_policies', 'type', policyKinds],
    ['moonpay_customers', 'kyc_level', kycLevels],
    ['moonpay_customers', 'identity_verification_status', verificationStatuses],
  ])('%s.%s allows what the program knows', async (table, column, words) => {
    expect(await checkedWords(database.db, table, `${table}_${column}_check`)).toEqual([...words].toSorted());
  });
});

describe('policyTypeOf', () => {
  test.each([
    ['kyc_policy_001', 'kyc_policy'],
    ['transaction_limit_policy', 'transaction_limit'],
    ['sanctions_policy', 'sanctions_policy'],
    ['my_kyc_policy', 'compliance_rule'],
    ['', 'compliance_rule'],
  ])('%s is a %s', (policyId, type) => expect(policyTypeOf(policyId)).toBe(type));
});
