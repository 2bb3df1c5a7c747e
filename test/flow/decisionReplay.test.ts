import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decideBatch } from '../../src/policy/decide.ts';
import { installDefaultPolicies } from '../../src/policy/defaultPolicies.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import { policyService } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { publishSamplePolicies } from '../support/samplePolicies.ts';
import { scenarioEvents, storeAll } from '../support/scenarioEvents.ts';
import { type DatabaseKind, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** `REPLAYED_DECISIONS=10000 npx vitest run …` makes as many on PostgreSQL. */
const count = process.env['REPLAYED_DECISIONS'] === undefined ? undefined : Number(process.env['REPLAYED_DECISIONS']);

describe.each<[kind: DatabaseKind, decisions: number]>([
  ['postgres', count ?? 600],
  ['embedded', 200],
])('replaying decisions (%s, %i)', (kind, decisions) => {
  let database: TestDatabase;
  let policies: PolicyService;

  beforeAll(async () => {
    database = await openTestDatabase(kind);
    policies = policyService(database);
    await installDefaultPolicies(database);
    await publishSamplePolicies(policies);
    // More than that: some come late, and nothing is decided on them.
    await storeAll(database, scenarioEvents(1.2 * decisions));
    const deciding = { ...policies.deciding, observe: () => {} };
    while ((await decideBatch(deciding, 500)) > 0);
  }, 600_000);
  afterAll(() => database.close());

  test('every logged decision comes out the same again', { timeout: 300_000 }, async () => {
    const { rows } = await sql<{ kind: string; count: number }>`
      select policy_id || ' ' || action_type as kind, count(*) from moonpay_policy_logs where decision_id is not null group by 1
    `.execute(database.db);
    const counts = Object.fromEntries(rows.map((row) => [row.kind, row.count]));
    // What is compared holds every outcome, rules that hit, that did not, and that erred.
    for (const kindOfRow of [
      'moonguard_decision rule_passed',
      'moonguard_decision review_initiated',
      'moonguard_decision approval_required',
      'moonguard_decision violation_detected',
      'sample_any rule_triggered',
      'sample_any rule_failed',
      'sample_any rule_passed',
      'sample_all rule_triggered',
      'sample_first rule_triggered',
      'sample_score rule_triggered',
      'sample_shadow rule_triggered',
      'kyc_policy_moonpay rule_triggered',
    ]) {
      expect(counts, kindOfRow).toHaveProperty([kindOfRow]);
    }
    const report = await policies.replayAll({ limit: decisions });
    expect(report.different).toEqual([]);
    expect(report).toMatchObject({ replayed: decisions, equal: decisions });
  });

  test.each<[what: string, change: string]>([
    ['an amount', `jsonb_set(inputs, '{event,fiat,minor}', '"50000"')`],
    ['a list', `jsonb_set(inputs, '{lists,risky_countries}', '{"DEU": true, "GBR": true, "FRA": true, "USA": true}')`],
    ['an aggregate', `jsonb_set(inputs, '{aggregates}', '{}')`],
    ['the versions', `jsonb_set(inputs, '{policies,0,1}', '99')`],
  ])('a decision whose inputs were changed is found: %s', async (_, change) => {
    const decision = `
      select id, inputs, rule_results, correlation_id from moonpay_policy_logs
      where decision_id = id and correlation_id like 'evt_%' and inputs @> '{"event": {"name": "transaction.completed"}}'
        and (inputs -> 'event' -> 'fiat' ->> 'minor')::int < 50000 and inputs -> 'event' ->> 'country' <> 'BRA'
      order by executed_at, id limit 1`;
    const { rows } = await sql<{ id: string }>`
      insert into moonpay_policy_logs (id, decision_id, policy_id, action_type, inputs, rule_results, correlation_id)
      select copied.id, copied.id, 'moonguard_decision', 'rule_passed', ${sql.raw(change)}, rule_results, 'changed'
      from (${sql.raw(decision)}) as decision, (select moonguard.uuid_v7() as id offset 0) as copied
      returning id
    `.execute(database.db);
    const { isEqual, recorded, replayed } = await policies.replay(rows[0]?.id ?? '');
    expect(isEqual).toBe(false);
    expect(replayed).not.toEqual(recorded);
  });

  test('a decision is found by its event; what is no decision is not', async () => {
    const { rows } = await sql<{ id: string; event_id: string }>`
      select id, inputs -> 'event' ->> 'id' as event_id from moonpay_policy_logs
      where decision_id = id and correlation_id like 'evt_%' limit 1
    `.execute(database.db);
    expect(await policies.replay(rows[0]?.event_id ?? '')).toMatchObject({ decisionId: rows[0]?.id, isEqual: true });
    const { id, logId } = await policies.logPolicyExecution({
      policyId: 'moonguard_decision',
      actionType: 'rule_passed',
    });
    for (const name of [id, logId, '\0', '']) {
      expect((await refusal(policies.replay(name))).code).toBe('decision_not_found');
      expect((await refusal(policies.explain(name))).code).toBe('decision_not_found');
    }
  });

  test('only the decisions of a period are replayed', async () => {
    expect(await policies.replayAll({ to: new Date(0) })).toEqual({ replayed: 0, equal: 0, different: [] });
    expect(await policies.replayAll({ from: new Date(0), limit: 3 })).toMatchObject({ replayed: 3 });
  });

  test('a decision is explained by its rules', async () => {
    const { rows } = await sql<{ id: string }>`
      select decision_id as id from moonpay_policy_logs
      where policy_id = 'sample_any' and rule_conditions ->> 'rule' = 'large' and action_type = 'rule_triggered' limit 1
    `.execute(database.db);
    const explanation = await policies.explain(rows[0]?.id ?? '');
    expect(explanation.sentences).toContainEqual(
      expect.stringMatching(/^Any of several asks for a review: [\d.]+ [A-Z]{3} are a lot\.$/),
    );
    expect(explanation.policies.find(({ policy }) => policy === 'sample_any')).toMatchObject({
      name: 'Any of several',
      version: 1,
      rules: expect.arrayContaining([
        expect.objectContaining({
          rule: 'large',
          source: 'event.fiat.minor >= 50000',
          outcome: 'review',
        }),
      ]),
    });
  });
});
