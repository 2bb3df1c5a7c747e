import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { AccountService } from '../../src/policy/AccountService.ts';
import { PolicyService } from '../../src/policy/PolicyService.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('policies', (open) => {
  let database: TestDatabase;
  let policyService: PolicyService;

  beforeAll(async () => {
    database = await open();
    policyService = new PolicyService({ database, compliance: new ComplianceService({ database }) });
  });
  afterAll(() => database.close());

  /** Oldest first. */
  const historyOf = async (policyId: string) => (await policyService.listLogs({ policyId })).items.toReversed();

  test('every change is in the log with what it was and what it became', async () => {
    const policyId = 'limits';
    const created = await policyService.createPolicy(
      { policyId, name: 'Limits', type: 'transaction', rules: [{ max: 100 }] },
      { actor: 'anna', reason: 'New law' },
    );
    expect(created).toMatchObject({ policyId, isActive: false, rules: [{ max: 100 }] });
    await policyService.activatePolicy(policyId, { actor: 'otto' });
    await policyService.updatePolicy(created.id, { name: 'Daily limits', rules: { max: 200 } });
    await policyService.deactivatePolicy(policyId);
    await policyService.deletePolicy(policyId, { reason: 'Replaced' });

    const history = await historyOf(policyId);
    expect(
      history.map((entry) => [entry.actionType, entry.executedBy, entry.reason, entry.policyName, entry.policyType]),
    ).toEqual([
      ['policy_created', 'anna', 'New law', 'Limits', 'transaction_limit'],
      ['policy_activated', 'otto', null, 'Limits', 'transaction_limit'],
      ['policy_updated', 'system', null, 'Daily limits', 'transaction_limit'],
      ['policy_deactivated', 'system', null, 'Daily limits', 'transaction_limit'],
      ['policy_deleted', 'system', 'Replaced', 'Daily limits', 'transaction_limit'],
    ]);
    expect(history[0]?.beforeState).toBeNull();
    for (const [earlier, later] of history.slice(0, -1).map((entry, i) => [entry, history[i + 1]])) {
      expect(later?.beforeState).toEqual(earlier?.afterState);
    }
    expect(history.at(-1)?.afterState).toBeNull();
    expect((await refusal(policyService.getPolicy(policyId))).code).toBe('policy_not_found');
  });

  test('what changes nothing is not in the log', async () => {
    const { policyId, id } = await policyService.createPolicy({ name: 'Idle', type: 'kyc', isActive: true });
    expect(policyId).toBe(id);
    await policyService.activatePolicy(policyId);
    await policyService.updatePolicy(policyId, {});
    expect((await historyOf(policyId)).map(({ actionType }) => actionType)).toEqual(['policy_created']);
  });

  test('a policy and its log row are written together or not at all', async () => {
    await sql`alter table moonpay_policy_logs add constraint no_secrets check (reason <> 'secret')`.execute(
      database.db,
    );
    const attempt = policyService.createPolicy({ policyId: 'secret', name: 'S', type: 'risk' }, { reason: 'secret' });
    expect((await refusal(attempt)).code).toBe('policy_log_invalid');
    expect((await refusal(policyService.getPolicy('secret'))).code).toBe('policy_not_found');
  });

  test('are listed by name', async () => {
    for (const name of ['B', 'A']) await policyService.createPolicy({ name, type: 'risk', isActive: name === 'A' });
    expect((await policyService.listPolicies({ type: 'risk' })).map(({ name }) => name)).toEqual(['A', 'B']);
    expect((await policyService.listPolicies({ type: 'risk', isActive: true })).map(({ name }) => name)).toEqual(['A']);
  });

  test('bad input is refused', async () => {
    await policyService.createPolicy({ policyId: 'taken', name: 'First', type: 'kyc' });
    const unknown = JSON.parse('{"name": " ", "type": "guess"}');
    expect(await refusal(policyService.createPolicy(unknown))).toMatchObject({
      code: 'policy_invalid',
      problems: [{ field: 'name' }, { field: 'type' }],
    });
    const attempts = {
      policy_duplicate: () => policyService.createPolicy({ policyId: 'taken', name: 'Second', type: 'kyc' }),
      policy_not_found: () => policyService.activatePolicy('nobody'),
    };
    for (const [code, attempt] of Object.entries(attempts)) expect((await refusal(attempt())).code).toBe(code);
  });

  describe('decisions about accounts', () => {
    test('are in the policy log, and are the history of the account', async () => {
      const accountService = new AccountService({ policies: policyService });
      await accountService.recordDecision(
        {
          customerId: 'customer_9',
          decision: 'limit',
          outcome: 'applied',
          reason: 'New customer',
          before: { daily: '10000' },
          after: { daily: '500' },
        },
        { actor: 'anna' },
      );
      await accountService.recordDecision({
        customerId: 'customer_9',
        decision: 'verification',
        outcome: 'review_required',
        reason: 'Two passports',
        policyId: 'kyc_policy_3',
      });
      await policyService.logPolicyExecution({ policyId: 'p', actionType: 'rule_passed', customerId: 'customer_9' });

      const { items } = await accountService.history('customer_9');
      expect(items).toMatchObject([
        {
          policyId: 'kyc_policy_3',
          policyType: 'customer_verification',
          actionType: 'review_initiated',
          requiresAction: true,
          executedBy: 'system',
          reason: 'Two passports',
        },
        {
          policyId: 'account_limit',
          policyType: 'transaction_limit',
          actionType: 'review_completed',
          customerId: 'customer_9',
          entityType: 'customer',
          entityId: 'customer_9',
          ruleResults: { decision: 'limit', outcome: 'applied' },
          beforeState: { daily: '10000' },
          afterState: { daily: '500' },
          executedBy: 'anna',
          autoGenerated: false,
        },
      ]);
      const older = await accountService.history('customer_9', { limit: 1 });
      expect((await accountService.history('customer_9', { limit: 1, cursor: older.nextCursor })).items).toEqual([
        items[1],
      ]);
      expect((await accountService.history('customer_9', { decision: 'limit' })).items).toEqual([items[1]]);
    });

    test('need a customer, a decision, an outcome and a reason', async () => {
      const accountService = new AccountService({ policies: policyService });
      const attempt = accountService.recordDecision(JSON.parse('{"decision": "bonus"}'));
      expect((await refusal(attempt)).problems.map(({ field, code }) => [field, code])).toEqual([
        ['customerId', 'required'],
        ['decision', 'unknown_value'],
        ['outcome', 'required'],
        ['reason', 'required'],
      ]);
    });
  });
});
