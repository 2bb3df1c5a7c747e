import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { PolicyDocument } from '../../src/policy/document.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import { policyService, refusedAs, writeAs } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

const document = (minor: number, changes: Partial<PolicyDocument> = {}): PolicyDocument => ({
  id: 'limits',
  name: `Limit of ${minor}`,
  type: 'transaction_limit',
  applies_to: { events: ['transaction.*'] },
  rules: [{ id: 'large', when: `event.fiat.minor > ${minor}`, outcome: 'block' }],
  ...changes,
});

forEachDatabase('versions of policies', (open) => {
  let database: TestDatabase;
  let policies: PolicyService;

  beforeEach(async () => {
    database = await open();
    policies = policyService(database);
  });
  afterEach(() => database.close());

  const statuses = async () =>
    (await policies.versions.list('limits')).map(({ version, status }) => [version, status]).toReversed();
  const history = async (policyId = 'limits') => (await policies.listLogs({ policyId })).items.toReversed();

  test('a draft is overwritten until it is published; then the next one has the next number', async () => {
    await policies.versions.saveDraft(document(100), { actor: 'anna' });
    const draft = await policies.versions.saveDraft(document(200), { actor: 'otto', reason: 'New law' });
    expect(draft).toMatchObject({ version: 1, status: 'draft', createdBy: 'otto', note: 'New law', publishedBy: null });
    const active = await policies.versions.publish('limits', undefined, { actor: 'anna' });
    expect(active).toMatchObject({ version: 1, status: 'active', publishedBy: 'anna', replaces: null });
    expect(active.document).toEqual(document(200));
    await policies.versions.saveDraft(document(300));
    expect(await statuses()).toEqual([
      [1, 'active'],
      [2, 'draft'],
    ]);
  });

  test('publishing replaces, and an older version published again is a rollback', async () => {
    for (const minor of [100, 200]) {
      await policies.versions.saveDraft(document(minor), { actor: 'anna' });
      await policies.versions.publish('limits', undefined, { actor: 'otto' });
    }
    await policies.versions.publish('limits', 1, { actor: 'olga', reason: 'Too strict' });
    expect(await statuses()).toEqual([
      [1, 'active'],
      [2, 'retired'],
    ]);
    expect(await policies.getPolicy('limits')).toMatchObject({
      name: 'Limit of 100',
      type: 'transaction',
      rules: document(100).rules,
      isActive: true,
    });
    const entries = await history();
    expect(
      entries.map(({ actionType, executedBy, beforeState, afterState }) => [
        actionType,
        executedBy,
        stateOf(beforeState),
        stateOf(afterState),
      ]),
    ).toEqual([
      ['policy_created', 'anna', undefined, '1 draft'],
      ['policy_activated', 'otto', undefined, '1 active'],
      ['policy_updated', 'anna', undefined, '2 draft'],
      ['policy_activated', 'otto', '1 active', '2 active'],
      ['policy_activated', 'olga', '2 active', '1 active'],
    ]);
    expect(entries.at(-1)).toMatchObject({
      reason: 'Too strict',
      beforeState: { document: document(200) },
      afterState: { replaces: 2, document: document(100) },
    });
  });

  test('of several in shadow the newest counts, and retiring the active one ends the policy', async () => {
    await policies.versions.saveDraft(document(100));
    await policies.versions.publish('limits');
    for (const minor of [200, 300]) {
      await policies.versions.saveDraft(document(minor));
      await policies.versions.shadow('limits');
    }
    expect(await statuses()).toEqual([
      [1, 'active'],
      [2, 'retired'],
      [3, 'shadow'],
    ]);
    await policies.versions.retire('limits', undefined, { actor: 'anna' });
    expect(await policies.getPolicy('limits')).toMatchObject({ isActive: false });
    expect((await history()).at(-1)).toMatchObject({ actionType: 'policy_deactivated', executedBy: 'anna' });
    const { policies: evaluated } = await policies.deciding.sets.current(database.db);
    expect(evaluated.map(({ version, mode }) => [version, mode])).toEqual([[3, 'shadow']]);
  });

  test('a document that is not valid is refused with every problem, and nothing of it is saved', async () => {
    const before = await tableCounts(database);
    const bad = [
      { ...document(1), colour: 'red' },
      document(1, {
        rules: [
          { id: 'a', when: 'event.fiat.minor > "x"' },
          { id: 'a', when: 'event.nobody' },
        ],
      }),
      `id: limits\nname: x\nrules: ${'['.repeat(5000)}`,
      `${JSON.stringify(document(1))}${' '.repeat(1_048_576)}`,
    ];
    for (const given of bad) {
      const { code, problems } = await refusal(policies.versions.saveDraft(given));
      expect(code).toBe('policy_invalid');
      expect(problems.length).toBeGreaterThan(0);
    }
    expect(await tableCounts(database)).toEqual(before);
  });

  test('a version is refused every move that is not one, and every change of what was published', async () => {
    await policies.versions.saveDraft(document(100));
    await policies.versions.publish('limits');
    expect((await refusal(policies.versions.shadow('limits', 1))).code).toBe('policy_version_not_allowed');
    expect((await refusal(policies.versions.publish('limits'))).code).toBe('policy_version_not_found');
    expect((await refusal(policies.versions.publish('limits', 7))).code).toBe('policy_version_not_found');
    expect((await refusal(policies.versions.get('nobody'))).code).toBe('policy_version_not_found');

    const table = 'moonguard.policy_versions';
    for (const [statement, constraint] of [
      [`update ${table} set status = 'draft'`, 'policy_versions_move'],
      [`update ${table} set status = 'shadow'`, 'policy_versions_move'],
      [`update ${table} set document = document || '{"name": "x"}'`, 'policy_versions_content'],
      [`update ${table} set hash = repeat('0', 64)`, 'policy_versions_content'],
      [`update ${table} set version = 9`, 'policy_versions_content'],
      [`delete from ${table}`, 'policy_versions_append_only'],
      [`truncate ${table}`, 'policy_versions_append_only'],
      [
        `insert into ${table} (policy_id, status, document, hash) values ('other', 'active', '{"id": "other"}', repeat('0', 64))`,
        'policy_versions_move',
      ],
      [
        `insert into ${table} (policy_id, document, hash) values ('other', '{"id": "another"}', repeat('0', 64))`,
        'policy_versions_document_check',
      ],
    ] as const) {
      expect(await refusedAs(database, 'anna', statement), statement).toBe(constraint);
    }
    // Whoever writes other people's names or times writes nothing.
    await writeAs(
      database,
      'anna',
      `update ${table} set created_by = 'x', published_by = 'x', replaces = 5, published_at = null`,
    );
    expect(await policies.versions.get('limits')).toMatchObject({ createdBy: 'system', replaces: null });
  });

  test('with four-eyes another person publishes, also over SQL, also what is rolled back to', async () => {
    await policies.settings.update({ fourEyes: true }, { actor: 'olga' });
    await policies.versions.saveDraft(document(100), { actor: 'anna' });
    for (const actor of ['anna', ' Anna ', 'system']) {
      const { code } = await refusal(policies.versions.publish('limits', 1, { actor }));
      expect(code, actor).toBe('policy_second_person_needed');
    }
    expect(await refusedAs(database, 'ANNA', `update moonguard.policy_versions set status = 'active'`)).toBe(
      'policy_versions_second_person',
    );
    // Saving in the same step would make the publisher the author.
    expect(
      await refusedAs(
        database,
        'otto',
        `update moonguard.policy_versions set status = 'active', document = document || '{"name": "x"}'`,
      ),
    ).toBe('policy_versions_content');
    await policies.versions.publish('limits', 1, { actor: 'otto' });
    await policies.versions.retire('limits', 1, { actor: 'otto' });
    expect((await refusal(policies.versions.publish('limits', 1, { actor: 'anna' }))).code).toBe(
      'policy_second_person_needed',
    );
    expect((await history('policy_settings')).at(-1)).toMatchObject({
      executedBy: 'olga',
      beforeState: { four_eyes: false, approval_hours: 72 },
      afterState: { four_eyes: true, approval_hours: 72 },
    });
  });

  test('the register of a policy with versions says what the active one says', async () => {
    await policies.versions.saveDraft(document(100));
    expect(await policies.getPolicy('limits')).toMatchObject({ isActive: false, rules: [] });
    expect((await refusal(policies.activatePolicy('limits'))).code).toBe('policy_has_versions');
    await policies.versions.publish('limits');
    expect((await refusal(policies.updatePolicy('limits', { rules: [] }))).code).toBe('policy_has_versions');
    expect((await refusal(policies.createPolicy({ policyId: 'limits', name: 'x', type: 'kyc' }))).code).toBe(
      'policy_has_versions',
    );
    await policies.deactivatePolicy('limits');
    expect((await policies.deciding.sets.current(database.db)).policies).toEqual([]);
    await policies.activatePolicy('limits');
    expect((await policies.deciding.sets.current(database.db)).policies).toHaveLength(1);
    await policies.deletePolicy('limits');
    expect(await statuses()).toEqual([[1, 'retired']]);
    expect((await policies.deciding.sets.current(database.db)).policies).toEqual([]);
    expect(
      (await refusal(policies.createPolicy({ policyId: 'limits', name: 'x', type: 'kyc', isActive: true }))).code,
    ).toBe('policy_has_versions');
  });

  test('a policy that comes with the program is put in once, whatever became of it', async () => {
    await policies.settings.update({ fourEyes: true });
    expect(await policies.versions.install(document(100))).toMatchObject({ status: 'active', createdBy: 'moonguard' });
    await policies.versions.retire('limits', 1, { actor: 'anna' });
    expect(await policies.versions.install(document(100))).toBeUndefined();
    expect(await statuses()).toEqual([[1, 'retired']]);
  });

  test('a version that does not compile any more is an error on whatever it applies to', async () => {
    await writeAs(
      database,
      'anna',
      `insert into moonguard.policy_versions (policy_id, document, hash)
        values ('handmade', '{"id": "handmade", "rules": "none"}', repeat('0', 64))`,
    );
    expect((await refusal(policies.versions.publish('handmade'))).code).toBe('policy_invalid');
    await writeAs(database, 'otto', `update moonguard.policy_versions set status = 'active'`);
    const [policy] = (await policies.deciding.sets.current(database.db)).candidates('customer.created', 'sandbox');
    expect(policy?.document.id).toBe('handmade');
  });

  test('what is evaluated is loaded again only when something changed', async () => {
    const { sets } = policies.deciding;
    const empty = await sets.current(database.db);
    expect(await sets.current(database.db)).toBe(empty);
    await policies.versions.saveDraft(document(100));
    await policies.versions.publish('limits');
    const first = await sets.current(database.db);
    expect(first.candidates('transaction.completed', 'production')).toHaveLength(1);
    expect(first.candidates('customer.created', 'production')).toEqual([]);
    await policies.lists.create({ name: 'blocked' });
    const second = await sets.current(database.db);
    expect(second).not.toBe(first);
    expect(second.policies[0]).toBe(first.policies[0]);
  });
});

describe('several clients at once (postgres)', () => {
  test('of sixteen who publish, each publishes, one version is active and none deadlocks', async () => {
    const database = await openTestDatabase('postgres', { maxConnections: 20 });
    const { versions } = policyService(database);
    const numbers = Array.from({ length: 16 }, (_, index) => index + 1);
    for (const minor of numbers) {
      await versions.saveDraft(document(minor));
      await versions.publish('limits');
    }
    const published = await Promise.all(numbers.map((version) => versions.publish('limits', version)));
    expect(published.map(({ status }) => status)).toEqual(numbers.map(() => 'active'));
    const all = await versions.list('limits');
    expect(all.filter(({ status }) => status === 'active')).toHaveLength(1);
    expect(all.filter(({ status }) => status === 'retired')).toHaveLength(15);
    await database.close();
  });

  test('of sixteen who save a draft there is one, with the next number', async () => {
    const database = await openTestDatabase('postgres', { maxConnections: 20 });
    const { versions } = policyService(database);
    const saved = await Promise.all(Array.from({ length: 16 }, (_, minor) => versions.saveDraft(document(minor))));
    expect(new Set(saved.map(({ version }) => version))).toEqual(new Set([1]));
    expect(await versions.list('limits')).toHaveLength(1);
    await database.close();
  });

  test('of sixteen processes that put in the same policy, one does', async () => {
    const database = await openTestDatabase('postgres', { maxConnections: 20 });
    const { versions } = policyService(database);
    const installed = await Promise.all(Array.from({ length: 16 }, () => versions.install(document(1))));
    expect(installed.filter((version) => version !== undefined)).toHaveLength(1);
    await database.close();
  });
});

function stateOf(state: unknown): string | undefined {
  if (typeof state !== 'object' || state === null) return undefined;
  return `${String(Reflect.get(state, 'version'))} ${String(Reflect.get(state, 'status'))}`;
}

async function tableCounts(database: TestDatabase): Promise<unknown> {
  const { rows } = await sql`
    select (select count(*) from moonguard.policy_versions) as versions, (select count(*) from public.moonpay_policies) as policies,
      (select count(*) from public.moonpay_policy_logs) as logs
  `.execute(database.db);
  return rows[0];
}
