import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { NewApproval } from '../../src/policy/approval.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import { jobsOf, processWith } from '../support/jobs.ts';
import { policyService, refusedAs, writeAs } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const HOUR = 3_600_000;
const DECISION = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';

const asked = (changes: Partial<NewApproval> = {}): NewApproval => ({
  decisionId: DECISION,
  correlationId: 'evt_1',
  policyId: 'limits',
  policyVersion: 1,
  ruleId: 'large',
  environment: 'production',
  customerId: 'customer_1',
  entityType: 'transaction',
  entityId: 'tx_1',
  requestedBy: 'anna',
  ...changes,
});

forEachDatabase('approvals and exceptions', (open) => {
  let database: TestDatabase;
  let policies: PolicyService;

  beforeEach(async () => {
    database = await open();
    policies = policyService(database);
  });
  afterEach(() => database.close());

  const request = (...wanted: readonly NewApproval[]) =>
    database.transaction((transaction) => policies.approvals.request(transaction, wanted));
  const requestOne = async (changes: Partial<NewApproval> = {}) => {
    const [approval] = await request(asked(changes));
    if (approval === undefined) throw new Error('nothing is pending');
    return approval;
  };
  const waivers = async (customer: string | null, entityId: string, environment = 'production', at = new Date()) => {
    const { rows } = await sql<{ waivers: { kind: string; policy: string; rule: string | null }[] }>`
      select moonguard.policy_waivers(${environment}, ${customer}, 'transaction', ${entityId}, ${at}) as waivers
    `.execute(database.db);
    return rows[0]?.waivers.map(({ kind, policy, rule }) => `${kind} ${policy}/${rule ?? '*'}`);
  };
  const soon = () => new Date(Date.UTC(2100, 0, 1));
  /** As if a time had passed: the triggers take the times of a row for their own. */
  const backdate = (table: string, columns: string) =>
    database.runScript(
      `alter table moonguard.${table} disable trigger user; update moonguard.${table} set ${columns}; alter table moonguard.${table} enable trigger user`,
    );

  test('what is pending is not asked for again; what another rule or entity asks for is', async () => {
    const [first, again, other] = await request(asked(), asked({ requestedBy: 'otto' }), asked({ entityId: 'tx_2' }));
    expect(again?.id).toBe(first?.id);
    expect(first?.requestedBy).toBe('anna');
    expect(other?.id).not.toBe(first?.id);
    expect((await requestOne({ ruleId: 'small' })).id).not.toBe(first?.id);
    expect((await requestOne()).id).toBe(first?.id);
    expect((await policies.approvals.list({ status: 'pending' })).items).toHaveLength(3);
    const { items } = await policies.listLogs({ actionType: 'approval_required', correlationId: 'evt_1' });
    const logged = items.map(({ entityId, transactionId, executedBy }) =>
      [entityId, transactionId, executedBy].join(' '),
    );
    // What was asked for together has no order.
    expect(logged.toSorted()).toEqual(['tx_1 tx_1 anna', 'tx_1 tx_1 anna', 'tx_2 tx_2 anna']);
  });

  test('it expires after the hours of the settings, or of the rule, and then can be asked for again', async () => {
    await policies.settings.update({ approvalHours: 2 });
    const byDefault = await requestOne();
    expect(byDefault.expiresAt.getTime() - byDefault.requestedAt.getTime()).toBe(2 * HOUR);
    const byRule = await requestOne({ entityId: 'tx_2', expiresInSeconds: 90 });
    expect(byRule.expiresAt.getTime() - byRule.requestedAt.getTime()).toBe(90_000);

    await backdate(
      'policy_approvals',
      `requested_at = now() - interval '2 hours', expires_at = now() - interval '1 second'`,
    );
    const { code, message } = await refusal(policies.approvals.grant(byRule.id, 'Known', { actor: 'otto' }));
    expect(code).toBe('approval_not_allowed');
    expect(message).toContain('expired');
    const anew = await requestOne();
    expect(anew.id).not.toBe(byDefault.id);

    await processWith(database, jobsOf(database)).jobs.run('approvals');
    const statuses = async (id: string) => (await policies.approvals.get(id)).status;
    expect(await statuses(byDefault.id)).toBe('expired');
    expect(await statuses(byRule.id)).toBe('expired');
    expect(await statuses(anew.id)).toBe('pending');
    const { items } = await policies.listLogs({ actionType: 'approval_denied' });
    expect(items.map(({ reason, executedBy }) => [reason, executedBy])).toEqual([
      ['expired', 'system'],
      ['expired', 'system'],
    ]);
  });

  test('somebody else than who asked decides, once, with a reason', async () => {
    const { id } = await requestOne();
    for (const actor of ['anna', 'ANNA ']) {
      expect((await refusal(policies.approvals.grant(id, 'Known', { actor }))).code).toBe(
        'policy_second_person_needed',
      );
    }
    expect((await refusal(policies.approvals.grant(id, 'Known', { actor: 'system' }))).code).toBe(
      'approval_not_allowed',
    );
    expect((await refusal(policies.approvals.grant(id, ' ', { actor: 'otto' }))).field).toBe('reason');
    expect((await refusal(policies.approvals.grant(DECISION, 'Known', { actor: 'otto' }))).code).toBe(
      'approval_not_found',
    );
    expect((await refusal(policies.approvals.get('nobody'))).code).toBe('approval_not_found');

    const granted = await policies.approvals.grant(id, 'Funds were shown', { actor: 'otto' });
    expect(granted).toMatchObject({ status: 'granted', decidedBy: 'otto', reason: 'Funds were shown' });
    expect(Number(granted.validUntil) - Number(granted.decidedAt)).toBe(72 * HOUR);
    expect((await refusal(policies.approvals.deny(id, 'No', { actor: 'olga' }))).code).toBe('approval_not_allowed');
    const { items } = await policies.listLogs({ actionType: 'approval_granted' });
    expect(items).toMatchObject([
      { executedBy: 'otto', approvedBy: 'otto', reason: 'Funds were shown', beforeState: { status: 'pending' } },
    ]);
  });

  test('a client of SQL is refused what a caller is', async () => {
    const { id } = await requestOne();
    const table = 'moonguard.policy_approvals';
    for (const [actor, statement, constraint] of [
      ['anna', `update ${table} set status = 'granted', reason = 'x'`, 'policy_approvals_second_person'],
      ['', `update ${table} set status = 'granted', reason = 'x'`, 'policy_approvals_actor'],
      ['otto', `update ${table} set status = 'granted'`, 'policy_approvals_reason_check'],
      ['otto', `update ${table} set status = 'expired'`, 'policy_approvals_move'],
      ['otto', `update ${table} set status = 'pending'`, 'policy_approvals_move'],
      ['otto', `update ${table} set requested_by = 'otto'`, 'policy_approvals_content'],
      ['otto', `update ${table} set expires_at = now() + interval '1 year'`, 'policy_approvals_content'],
      ['otto', `delete from ${table}`, 'policy_approvals_append_only'],
      ['otto', `truncate ${table}`, 'policy_approvals_append_only'],
    ] as const) {
      expect(await refusedAs(database, actor, statement), statement).toBe(constraint);
    }
    await writeAs(database, 'otto', `update ${table} set status = 'denied', reason = 'No', decided_by = 'olga'`);
    expect(await policies.approvals.get(id)).toMatchObject({ status: 'denied', decidedBy: 'otto', validUntil: null });
  });

  test('one that was granted waives its rule for its entity until its time is over', async () => {
    const { id } = await requestOne();
    expect(await waivers('customer_1', 'tx_1')).toEqual([]);
    await policies.approvals.grant(id, 'Known', { actor: 'otto', validUntil: soon() });
    expect(await waivers('customer_1', 'tx_1')).toEqual(['approval limits/large']);
    expect(await waivers('customer_1', 'tx_2')).toEqual([]);
    expect(await waivers('customer_1', 'tx_1', 'sandbox')).toEqual([]);
    expect(await waivers('customer_1', 'tx_1', 'production', soon())).toEqual([]);
    const ofCustomer = await requestOne({ entityType: 'customer', entityId: 'customer_1', ruleId: 'many' });
    await policies.approvals.grant(ofCustomer.id, 'Known', { actor: 'otto', validUntil: soon() });
    expect(await waivers('customer_1', 'tx_9')).toEqual(['approval limits/many']);
  });

  test('an exception waives for its customer or entity until it ends', async () => {
    const { exceptions } = policies;
    const grant = { policyId: 'limits', reason: 'Known', expiresAt: soon() };
    const ofCustomer = await exceptions.grant({ ...grant, customerId: 'customer_1' }, { actor: 'otto' });
    expect(ofCustomer).toMatchObject({ grantedBy: 'otto', ruleId: null, environment: null });
    await exceptions.grant(
      { ...grant, entityType: 'transaction', entityId: 'tx_2', ruleId: 'large' },
      { actor: 'otto' },
    );
    await exceptions.grant(
      { ...grant, customerId: 'customer_3', entityType: 'transaction', entityId: 'tx_3', environment: 'sandbox' },
      { actor: 'otto' },
    );
    expect(await waivers('customer_1', 'tx_1')).toEqual(['exception limits/*']);
    expect(await waivers('customer_2', 'tx_2')).toEqual(['exception limits/large']);
    expect(await waivers(null, 'tx_1')).toEqual([]);
    expect(await waivers('customer_3', 'tx_3')).toEqual([]);
    expect(await waivers('customer_3', 'tx_3', 'sandbox')).toEqual(['exception limits/*']);
    expect(await waivers('customer_4', 'tx_3', 'sandbox')).toEqual([]);
    expect(await waivers('customer_1', 'tx_1', 'production', soon())).toEqual([]);

    await exceptions.end(ofCustomer.id, { actor: 'olga' });
    expect(await waivers('customer_1', 'tx_1')).toEqual([]);
    expect((await exceptions.list({ isInForce: false })).items).toMatchObject([{ id: ofCustomer.id, endedBy: 'olga' }]);
    const { items } = await policies.listLogs({ policyId: 'limits', customerId: 'customer_1' });
    expect(items.map(({ actionType, executedBy }) => [actionType, executedBy])).toEqual([
      ['policy_updated', 'olga'],
      ['exception_granted', 'otto'],
    ]);
  });

  test('an exception may name the customer as you do', async () => {
    await sql`insert into public.moonpay_customers (moonpay_customer_id, external_customer_id) values ('mp_1', 'ours_1')`.execute(
      database.db,
    );
    const grant = { policyId: 'limits', customerId: 'ours_1', reason: 'Known', expiresAt: soon() };
    await policies.exceptions.grant(grant, { actor: 'otto' });
    expect(await waivers('mp_1', 'tx_1')).toEqual(['exception limits/*']);
    expect(await waivers('mp_2', 'tx_1')).toEqual([]);
  });

  test('an exception without person, subject, reason or future is refused; what was granted stays as it is', async () => {
    const { exceptions } = policies;
    const grant = { policyId: 'limits', customerId: 'customer_1', reason: 'Known', expiresAt: soon() };
    const { customerId: _, ...ofNobody } = grant;
    for (const [input, field] of [
      [ofNobody, 'customerId'],
      [{ ...grant, entityId: 'tx_1' }, 'entityType'],
      [{ ...grant, reason: '' }, 'reason'],
      [{ ...grant, expiresAt: new Date(0) }, 'expiresAt'],
    ] as const) {
      const { code, problems } = await refusal(exceptions.grant(input, { actor: 'otto' }));
      expect([code, problems.map((problem) => problem.field)]).toEqual(['exception_invalid', [field]]);
    }
    expect((await refusal(exceptions.grant(grant, { actor: 'system' }))).code).toBe('exception_invalid');
    const { id } = await exceptions.grant(grant, { actor: 'otto' });
    for (const [statement, constraint] of [
      [
        `update moonguard.policy_exceptions set expires_at = expires_at + interval '1 day'`,
        'policy_exceptions_content',
      ],
      [`update moonguard.policy_exceptions set customer_id = 'x'`, 'policy_exceptions_content'],
      ['delete from moonguard.policy_exceptions', 'policy_exceptions_append_only'],
      ['truncate moonguard.policy_exceptions', 'policy_exceptions_append_only'],
    ] as const) {
      expect(await refusedAs(database, 'otto', statement), statement).toBe(constraint);
    }
    await exceptions.end(id, { actor: 'otto' });
    expect((await refusal(exceptions.end(id, { actor: 'otto' }))).code).toBe('exception_invalid');
    expect((await refusal(exceptions.end(DECISION, { actor: 'otto' }))).code).toBe('exception_not_found');
  });
});
