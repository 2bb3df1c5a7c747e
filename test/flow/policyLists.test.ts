import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { databaseErrorReport } from '../../src/database/databaseError.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';
import { policyService, publishPolicy, refusedAs } from '../support/policies.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const usesBlocked = `
id: wallets
name: Wallets
type: sanctions_policy
applies_to: { events: ['*'] }
lists: [blocked]
rules:
  - { id: blocked, when: has(event.wallet) && event.wallet.address in lists.blocked, outcome: block }
`;

forEachDatabase('lists of policies', (open) => {
  let database: TestDatabase;
  let policies: PolicyService;

  beforeEach(async () => {
    database = await open();
    policies = policyService(database);
  });
  afterEach(() => database.close());

  const isOn = async (list: string, value: string) =>
    (await policies.deciding.sets.current(database.db)).lists.has(list, value);
  const valuesOf = async (list: string) => (await policies.lists.values(list)).map(({ value }) => value);
  const history = async (list: string) =>
    (await policies.listLogs({ policyId: `list_${list}` })).items
      .toReversed()
      .map(({ actionType, executedBy, reason, afterState }) => [actionType, executedBy, reason, afterState]);

  test('a value counts from the next look-up on, and no more once it is removed', async () => {
    expect(await isOn('blocked', '0xA')).toBeUndefined();
    await policies.lists.create({ name: 'blocked' });
    expect(await isOn('blocked', '0xA')).toBe(false);
    expect(await policies.lists.add('blocked', ['0xA', ' 0xB\n', '0xA'])).toBe(2);
    expect(await isOn('blocked', '0xA')).toBe(true);
    expect(await isOn('blocked', '0xa')).toBe(false);
    expect(await isOn('blocked', '0xB')).toBe(true);
    expect(await policies.lists.add('blocked', ['0xA', '0xC'])).toBe(1);
    expect(await policies.lists.remove('blocked', ['0xA', '0xZ'])).toBe(1);
    expect(await isOn('blocked', '0xA')).toBe(false);
    expect(await valuesOf('blocked')).toEqual(['0xB', '0xC']);
  });

  test('what a transaction saw and took back is forgotten', async () => {
    await policies.lists.create({ name: 'blocked' });
    const takenBack = database.transaction(async (transaction) => {
      await policies.lists.add('blocked', ['0xA'], { transaction });
      const { lists } = await policies.deciding.sets.current(transaction);
      expect(lists.has('blocked', '0xA')).toBe(true);
      throw new Error('taken back');
    });
    await expect(takenBack).rejects.toThrow('taken back');
    await policies.lists.add('blocked', ['0xB']);
    expect(await isOn('blocked', '0xA')).toBe(false);
    expect(await isOn('blocked', '0xB')).toBe(true);
  });

  test('a list that ignores case does so whoever writes it', async () => {
    await policies.lists.create({ name: 'blocked', isCaseSensitive: false });
    await policies.lists.add('blocked', ['0xAB', '0xab', 'ÄÖ']);
    await sql`insert into moonguard.policy_list_values (list_name, value) values ('blocked', ' 0XCD ')`.execute(
      database.db,
    );
    expect(await valuesOf('blocked')).toEqual(['0xab', '0xcd', 'äö']);
    for (const value of ['0xAb', '0XcD', 'Äö']) expect(await isOn('blocked', value), value).toBe(true);
    expect(await policies.lists.remove('blocked', ['0XAB'])).toBe(1);
  });

  test('each change is one row of the log, with who made it and what was added or removed', async () => {
    await policies.lists.create({ name: 'blocked', description: 'Stolen' }, { actor: 'anna' });
    await policies.lists.add('blocked', ['b', 'a'], { actor: 'otto', note: 'Police' });
    await policies.lists.add('blocked', ['a'], { actor: 'otto' });
    await policies.lists.remove('blocked', ['a'], { actor: 'olga' });
    await policies.lists.add(
      'blocked',
      Array.from({ length: 150 }, (_, index) => `wallet ${index}`),
    );
    await policies.lists.delete('blocked', { actor: 'anna' });
    const rows = await history('blocked');
    expect(rows.filter((_, place) => place !== 3)).toEqual([
      ['policy_created', 'anna', null, { description: 'Stolen', case_sensitive: true }],
      ['policy_updated', 'otto', 'Police', { added: 2, values: ['a', 'b'] }],
      ['policy_updated', 'olga', null, { removed: 1, values: ['a'] }],
      ['policy_deleted', 'anna', null, null],
    ]);
    const many = rows[3]?.[3];
    expect(many).toMatchObject({ added: 150, values: expect.any(Array) });
    expect(Reflect.get(Object(many), 'values')).toHaveLength(100);
  });

  test('a list that an evaluated policy uses cannot be deleted, also not over SQL', async () => {
    await policies.lists.create({ name: 'blocked' });
    await publishPolicy(database, usesBlocked);
    const { code, message } = await refusal(policies.lists.delete('blocked'));
    expect(code).toBe('policy_list_invalid');
    expect(message).toContain('wallets');
    const refused = await sql`delete from moonguard.policy_lists`.execute(database.db).catch(databaseErrorReport);
    expect(refused).toMatchObject({ constraint: 'policy_lists_in_use' });
    await policies.versions.retire('wallets');
    await policies.lists.delete('blocked');
    expect(await policies.lists.list()).toEqual([]);
  });

  test('what is not a list or a value is refused', async () => {
    expect((await refusal(policies.lists.create({ name: 'Not so' }))).field).toBe('name');
    await policies.lists.create({ name: 'blocked' });
    expect((await refusal(policies.lists.create({ name: 'blocked' }))).problems[0]?.code).toBe('duplicate');
    for (const values of [[], [' '], ['x'.repeat(501)], ['\0']]) {
      expect((await refusal(policies.lists.add('blocked', values))).code).toBe('policy_list_invalid');
    }
    for (const attempt of [
      () => policies.lists.add('nobody', ['a']),
      () => policies.lists.remove('nobody', ['a']),
      () => policies.lists.values('nobody'),
      () => policies.lists.delete('nobody'),
    ]) {
      expect((await refusal(attempt())).code).toBe('policy_list_not_found');
    }
    await policies.lists.add('blocked', ['a']);
    expect(await refusedAs(database, 'anna', `update moonguard.policy_lists set case_sensitive = false`)).toBe(
      'policy_lists_content',
    );
    expect(await refusedAs(database, 'anna', `update moonguard.policy_list_values set value = 'b'`)).toBe(
      'policy_list_values_content',
    );
  });

  test('a list is read page by page', async () => {
    await policies.lists.create({ name: 'blocked' });
    await policies.lists.add('blocked', ['c', 'B', 'a', 'd']);
    const first = await policies.lists.values('blocked', { limit: 3 });
    const second = await policies.lists.values('blocked', { limit: 3, after: first.at(-1)?.value });
    expect([...first, ...second].map(({ value }) => value)).toEqual(['B', 'a', 'c', 'd']);
  });
});
