import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EvaluateInput } from '../../src/policy/evaluateRequest.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import { recordEventFacts } from '../../src/policy/store/recordEventFacts.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { buyEvent } from '../support/moonpay.ts';
import { policyService, publishPolicy } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const payouts = `
id: payouts
name: Payouts
type: transaction_limit
applies_to: { events: [request.payout] }
aggregates:
  - { name: spent, function: sum, of: fiat, key: customer, window: 1h }
  - { name: others, function: count, key: customer, window: 1h, current: exclude }
rules:
  - id: much
    when: aggregates.spent > 10000
    outcome: approval_required
    alert: { type: transaction_monitoring, severity: high, title: "{aggregates.spent} within an hour" }
    description: the customer spent {aggregates.spent} within an hour
  - { id: forbidden, when: '"purpose" in event.fields && event.fields.purpose == "gambling"', outcome: block }
`;

const payout = (customerId: string, amount: string, more: Partial<EvaluateInput> = {}): EvaluateInput => ({
  environment: 'production',
  name: 'request.payout',
  customerId,
  entityType: 'payout',
  entityId: `payout of ${customerId}`,
  fiat: { currency: 'EUR', amount },
  ...more,
});

forEachDatabase('asking policies before something is done', (open) => {
  let database: TestDatabase;
  let policies: PolicyService;
  beforeAll(async () => {
    database = await open();
    policies = policyService(database);
    await publishPolicy(database, payouts);
  });
  afterAll(() => database.close());

  test('what is allowed is in the log when the answer comes', async () => {
    const evaluated = await policies.evaluate(payout('ann', '99.99'));
    expect(evaluated).toMatchObject({ outcome: 'allow', approvals: [], alerts: [] });
    expect(await policies.getLog(evaluated.decisionId)).toMatchObject({
      actionType: 'rule_passed',
      correlationId: evaluated.correlationId,
      entityId: 'payout of ann',
    });
    expect(await policies.replay(evaluated.decisionId)).toMatchObject({ isEqual: true });
  });

  test('counts what came before of the same customer, and itself', async () => {
    const bodies = ['tx_1', 'tx_2'].map((id) =>
      Buffer.from(
        buyEvent({ id, customerId: 'bea', baseCurrencyAmount: 30.01, updatedAt: new Date(systemRuntime.now()) }),
      ),
    );
    const events = bodies.map((rawBody) => {
      const parsed = parseEvent(rawBody, 'production');
      return { id: systemRuntime.newId(), environment: 'production' as const, rawBody, signature: '', parsed };
    });
    await storeEvents(database.db, events);
    await recordEventFacts(database.db, 10);
    expect((await policies.evaluate(payout('bea', '39.98'))).outcome).toBe('allow');
    expect((await policies.evaluate(payout('bea', '39.99'))).outcome).toBe('approval_required');
    expect((await policies.evaluate(payout('bea', '39.99', { environment: 'sandbox' }))).outcome).toBe('allow');
  });

  test('finds the history of a customer by your own id too', async () => {
    await sql`
      insert into moonpay_customers (moonpay_customer_id, external_customer_id, environment) values ('bea', 'mine', 'production')
    `.execute(database.db);
    const { customerId: _, ...request } = payout('', '39.99');
    const evaluated = await policies.evaluate({ ...request, externalCustomerId: 'mine' });
    expect(evaluated.outcome).toBe('approval_required');
  });

  test('asks for one approval and raises one alert, with the reasons; granted, the rule has no further effect', async () => {
    const asked = await policies.evaluate(payout('cem', '100.01', { correlationId: 'order 7' }), { actor: 'shop' });
    expect(asked).toMatchObject({
      correlationId: 'order 7',
      outcome: 'approval_required',
      approvals: [{ status: 'pending', policyId: 'payouts', ruleId: 'much', requestedBy: 'shop' }],
      alerts: [expect.any(String)],
      sentences: expect.arrayContaining([expect.stringContaining('the customer spent 10001 within an hour')]),
    });
    const again = await policies.evaluate(payout('cem', '100.01'), { actor: 'shop' });
    expect(again.approvals.map(({ id }) => id)).toEqual(asked.approvals.map(({ id }) => id));
    expect(again.alerts).toEqual(asked.alerts);

    await policies.approvals.grant(asked.approvals[0]?.id ?? '', 'known customer', { actor: 'officer' });
    const granted = await policies.evaluate(payout('cem', '100.01'), { actor: 'shop' });
    expect(granted).toMatchObject({ outcome: 'allow', approvals: [], alerts: [] });
    expect(await policies.replay(granted.decisionId)).toMatchObject({ isEqual: true });
    expect((await policies.evaluate(payout('dan', '100.01'))).outcome).toBe('approval_required');
  });

  test('an amount that is no whole number of minor units is an error, and no pass', async () => {
    const evaluated = await policies.evaluate(payout('eve', '1.005'));
    expect(evaluated.outcome).toBe('review');
    expect(evaluated.policies[0]?.rules).toMatchObject([{ result: 'error' }, { result: 'no_hit' }]);
  });

  test('fields of your own', async () => {
    const evaluated = await policies.evaluate(payout('fay', '1', { fields: { purpose: 'gambling' } }));
    expect(evaluated.outcome).toBe('block');
  });

  test("goes back with the caller's transaction", async () => {
    let decisionId = '';
    const attempt = database.transaction(async (transaction) => {
      decisionId = (await policies.evaluate(payout('gus', '1'), { transaction })).decisionId;
      throw new Error('the caller changed its mind');
    });
    await expect(attempt).rejects.toThrow('the caller changed its mind');
    expect((await refusal(policies.getLog(decisionId))).code).toBe('policy_log_not_found');
  });

  test('many at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, place) =>
        policies.evaluate(payout(`many_${place}`, place % 2 === 0 ? '1' : '200')),
      ),
    );
    expect(answers.map(({ outcome }) => outcome)).toEqual(
      answers.map((_, place) => (place % 2 === 0 ? 'allow' : 'approval_required')),
    );
  });

  test.each<[name: string, change: object, field: string]>([
    ['a name that is an event of MoonPay', { name: 'transaction.created' }, 'name'],
    ['an amount as a number', { fiat: { currency: 'EUR', amount: 1.5 } }, 'fiat.amount'],
    ['an amount that is none', { fiat: { currency: 'EUR', amount: '1,50' } }, 'fiat.amount'],
    ['a country in two letters', { country: 'GB' }, 'country'],
    ['an unknown field', { amount: '1' }, 'amount'],
    ['what jsonb cannot hold', { fields: { text: '\0' } }, 'fields'],
  ])('is refused: %s', async (_name, change, field) => {
    const refused = await refusal(policies.evaluate({ ...payout('x', '1'), ...change }));
    expect(refused).toMatchObject({ code: 'policy_evaluation_invalid', problems: [{ field }] });
  });
});
