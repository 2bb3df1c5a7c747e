import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { decideBatch } from '../../src/policy/decide.ts';
import type { PolicyDocument } from '../../src/policy/document.ts';
import { documentYaml, parseDocumentText } from '../../src/policy/documentText.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { cli, temporaryDirectory } from '../support/cli.ts';
import { document, run } from '../support/commands.ts';
import { buyEvent } from '../support/moonpay.ts';
import { policyService } from '../support/policies.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

let database: TestPostgres;
beforeAll(async () => {
  database = await openTestDatabase('postgres');
  vi.stubEnv('DATABASE_URL', database.url);
  vi.stubEnv('MOONGUARD_MASTER_KEY', Buffer.alloc(32, 7).toString('base64'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await database.close();
});

const limit = (id: string, minor = 10_000): PolicyDocument => ({
  id,
  name: 'Large purchases',
  type: 'transaction_limit',
  applies_to: { events: ['transaction.*'] },
  rules: [{ id: 'large', when: `event.fiat.minor > ${minor}`, description: 'the amount is {event.fiat.amount}' }],
  tests: [
    {
      name: 'a large one',
      event: { name: 'transaction.created', fiat: { currency: 'EUR', amount: '100.01' } },
      expect: { outcome: 'review', hits: ['large'] },
    },
  ],
});

/** A folder with these policies; each file is named by its policy. */
function folderWith(...documents: readonly PolicyDocument[]): string {
  const folder = temporaryDirectory();
  for (const each of documents) writeFileSync(join(folder, `${each.id}.yaml`), documentYaml(each));
  return folder;
}

const fileOf = (policy: PolicyDocument): string => join(folderWith(policy), `${policy.id}.yaml`);

test('a policy is saved, published, replaced, compared, rolled back and switched off', async () => {
  expect(await run(`policies save ${fileOf(limit('steps'))} --as anna`)).toBe(
    'Version 1 of steps is saved as a draft.\n',
  );
  expect(await run('policies publish steps --as otto --note "Agreed"')).toBe('Version 1 of steps is active.\n');
  await run(`policies save ${fileOf(limit('steps', 5_000))} --as anna`);
  expect(await run('policies list')).toMatch(/^steps +yes +1 +– +2 +transaction +Large purchases$/m);
  expect(await run('policies shadow steps --as anna')).toBe('Version 2 of steps is in shadow.\n');
  expect(await run('policies diff steps 1 2')).toBe(
    'rules.large.when\n  - event.fiat.minor > 10000\n  + event.fiat.minor > 5000\n',
  );
  await run('policies publish steps --as otto');
  await run('policies publish steps --version 1 --as otto --note "Too many alarms"');
  await run('policies off steps --as otto');

  expect(await run('policies list')).toMatch(/^steps +no +1 +– +– +transaction/m);
  const shown = await run('policies show steps');
  expect(shown).toMatch(/^large +review +– +event\.fiat\.minor > 10000$/m);
  expect(shown).toMatch(/^ +2 +retired +20.* anna +20.* otto/m);
  const yaml = await run('policies show steps --version 2 --yaml');
  expect(parseDocumentText(yaml)).toEqual({ document: limit('steps', 5_000) });
});

test('validate says what is wrong and where, and test which case failed; both end with 1', async () => {
  const folder = folderWith(limit('good'), {
    ...limit('wrong'),
    rules: [{ id: 'large', when: 'event.fiat.minr > 1' }],
  });
  const failing = { ...limit('failing', 20_000), name: 'Fails' };
  writeFileSync(join(folder, 'failing.yaml'), documentYaml(failing));

  const validated = await cli(['policies', 'validate', 'good.yaml', 'wrong.yaml', 'none.yaml'], { directory: folder });
  expect(validated.code).toBe(1);
  expect(validated.stdout).toMatch(/^good\.yaml: good is valid$/m);
  expect(validated.stdout).toMatch(/^wrong\.yaml: rules\.0\.when: .*minr/m);
  expect(validated.stdout).toMatch(/^none\.yaml: ENOENT/m);

  const tested = await cli(['policies', 'test', 'good.yaml', 'failing.yaml'], { directory: folder });
  expect(tested.code).toBe(1);
  expect(tested.stdout).toContain(
    'FAILED  a large one\n          outcome is allow, not review\n          hits are none, not large\n',
  );
  expect(tested.stdout).toMatch(/^2 cases, 1 failed\.$/m);
});

test('a folder is planned, and applied as a whole once that is agreed to', async () => {
  await run(`policies save ${fileOf(limit('changed'))}`);
  await run('policies publish changed');
  await run(`policies save ${fileOf(limit('elsewhere'))}`);
  await run('policies publish elsewhere');
  const folder = folderWith(limit('changed', 7_000), limit('fresh'));

  const plan = await run(`policies plan ${folder}`);
  expect(plan).toMatch(/^changed +changed +\(.*changed\.yaml; version 1 is active\)$/m);
  expect(plan).toContain('+ event.fiat.minor > 7000');
  expect(plan).toMatch(/^new +fresh +\(.*fresh\.yaml; no version is active\)$/m);
  expect(plan).toMatch(/^only in the database +elsewhere$/m);

  const env = { DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') };
  const notAgreed = await cli(['policies', 'apply', folder], { env, input: 'n\n' });
  expect(notAgreed).toMatchObject({ code: 0, stderr: expect.stringContaining('Save 2 policies? [y/N]') });
  expect(await policyService(database).versions.list('fresh')).toEqual([]);

  writeFileSync(join(folder, 'wrong.yaml'), 'id: wrong');
  await expect(run(`policies apply ${folder} --yes`)).rejects.toMatchObject({ code: 'policy_invalid' });
  expect(await policyService(database).versions.list('fresh')).toEqual([]);
  writeFileSync(join(folder, 'wrong.yaml'), documentYaml(limit('third')));

  expect(await run(`policies apply ${folder} --yes`)).toMatch(/^3 policies are saved as drafts\.$/m);
  expect(await run(`policies plan ${folder}`)).toMatch(/^saved +fresh/m);
  expect(await run(`policies apply ${folder} --publish --yes --as otto`)).toMatch(
    /^3 policies are saved and active\.$/m,
  );
  expect(await run(`policies plan ${folder}`)).toMatch(/^3 policies, 0 not active as the files have them\.$/m);
});

test('a decision is explained, the log replayed, and the past tried', async () => {
  await run(`policies save ${fileOf(limit('tried'))}`);
  await run('policies publish tried');
  const rawBody = Buffer.from(buyEvent({ id: 'tx_tried', baseCurrency: { code: 'eur' }, baseCurrencyAmount: 250 }));
  const id = systemRuntime.newId();
  const parsed = parseEvent(rawBody, 'sandbox');
  await storeEvents(database.db, [{ id, environment: 'sandbox', rawBody, signature: '', parsed }]);
  await decideBatch({ ...policyService(database).deciding, observe: () => {} }, 10);

  expect(await run(`policies explain ${id}`)).toMatch(/the amount is 250/);
  expect(await run('policies replay --since 1h')).toBe('1 decision, 1 the same.\n');

  await run(`policies save ${fileOf(limit('tried', 30_000))}`);
  const tried = await run('policies backtest tried');
  expect(tried).toMatch(/^0 of 1 events: 0 applied to, 0 changed$/m);
  expect(tried).toMatch(/^status +completed$/m);
  expect(tried).toMatch(/^review→allow +1$/m);
  const { items } = await document('policies backtests list --policy-id tried');
  expect(items).toMatchObject([{ policyId: 'tried', version: 2, comparedVersion: 1, evaluatedCount: 1 }]);
});
