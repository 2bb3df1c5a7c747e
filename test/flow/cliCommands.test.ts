import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { createCertificate } from '../support/certificates.ts';
import { document, run } from '../support/commands.ts';
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

/** Path of a file that goes with the test. */
function fileWith(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'moonguard-cli-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const path = join(directory, 'file');
  writeFileSync(path, text);
  return path;
}

test('an endpoint is made, changed, stopped, resumed and deleted', async () => {
  const created = await document(
    `webhooks create --url https://example.com/hook --events "transaction.*,customer.kyc_completed" --header "x-team: payments" --retry '{"max_attempts": 3}' --as anna`,
  );
  expect(created).toMatchObject({
    environment: 'sandbox',
    events: ['transaction.*', 'customer.kyc_completed'],
    headers: { 'x-team': 'payments' },
    retryPolicy: { max_attempts: 3 },
    createdBy: 'anna',
    secret: expect.stringMatching(/^whsec_/),
  });
  const id = String(created['webhookId']);

  expect(await document(`webhooks update ${id} --events "*"`)).toMatchObject({
    events: ['*'],
    headers: { 'x-team': 'payments' },
    retryPolicy: { max_attempts: 3 },
    url: 'https://example.com/hook',
  });
  const filter = 'event.data.baseCurrencyAmount > 100';
  expect(await document(`webhooks update ${id} --filter '${filter}'`)).toMatchObject({ filter });
  expect(await document(`webhooks update ${id} --description payments`)).toMatchObject({ filter });
  expect(await document(`webhooks update ${id} --no-filter`)).toMatchObject({ filter: null });
  const rotated = await document(`webhooks rotate-secret ${id} --overlap 60`);
  expect(rotated['secret']).not.toBe(created['secret']);
  expect(await run(`webhooks suspend ${id} --reason maintenance`)).toBe(`${id} is inactive.\n`);
  await expect(run(`webhooks test ${id}`)).rejects.toMatchObject({ code: 'webhook_status_conflict' });
  expect(await run(`webhooks resume ${id}`)).toMatch(new RegExp(`^${id} is active\\.\n`));

  const history = await run(`webhooks history ${id}`);
  expect(history).toMatch(
    / changed .*status inactive → active.*\n.* changed .*status active → inactive.*maintenance\n/,
  );
  expect(history).toMatch(/ secret .*\n.* changed .*filter .* → nothing\n.* changed .*description payments\n/);
  expect(history).toMatch(/ secret .*\n.* created +anna .*https:\/\/example.com\/hook.*\n$/);
  expect(await run(`webhooks certificate show ${id}`)).toBe('No certificate.\n');
  const { cert, key } = await createCertificate('moonguard.example');
  const [certificateFile, keyFile] = [fileWith(cert), fileWith(key)];
  expect(await run(`webhooks certificate set ${id} --certificate ${certificateFile} --private-key ${keyFile}`)).toMatch(
    /^subject +CN=moonguard\.example$/m,
  );
  expect(await document(`webhooks certificate show ${id}`)).toMatchObject({ subject: 'CN=moonguard.example' });
  await expect(
    run(`webhooks certificate set ${id} --certificate ${certificateFile} --private-key /nowhere`),
  ).rejects.toMatchObject({ code: 'request_invalid', problems: [{ field: 'privateKey' }] });
  expect(await run(`webhooks certificate remove ${id}`)).toBe('Removed.\n');

  const { deliveryId } = await document(`webhooks test ${id}`);
  expect(await document(`webhooks deliveries --endpoint ${id}`)).toMatchObject({
    items: [{ id: deliveryId, eventName: 'webhook.test', status: 'pending' }],
  });
  expect(await run(`webhooks attempts ${String(deliveryId)}`)).toMatch(/No attempt yet\.\n$/);
  expect(await run('webhooks stats')).toMatch(/^total webhooks +1$/m);
  expect(await run(`webhooks delete ${id}`)).toBe(`Deleted ${id}.\n`);
  expect(await run('webhooks undelivered')).toMatch(/ held .* webhook\.test /);
  expect(await run('webhooks list')).toBe('No endpoints.\n');
  expect(await run('webhooks list --include-deleted')).toMatch(/ deleted /);
  await expect(run(`webhooks show ${id}`)).rejects.toMatchObject({ code: 'webhook_not_found' });
});

test('a row of the policy log is added in the name of a person', async () => {
  const added = await document(
    'logs add --policy-id kyc_policy_001 --action-type exception_granted --as anna --entity-type customer --entity-id customer_123 --reason "Known since 2019"',
  );
  expect(await document(`logs show ${String(added['logId'])}`)).toMatchObject({
    policyType: 'kyc_policy',
    executedBy: 'anna',
    autoGenerated: false,
    reason: 'Known since 2019',
  });
  expect(await run('logs list --policy-id kyc_policy_001')).toMatch(
    /kyc_policy_001 +exception_granted +success +info +customer customer_123/,
  );
});

test('the policy log is searched and exported, and tells what changed', async () => {
  for (const [customer, before, after] of [
    ['c1', 100, 250],
    ['c2', 5, 5],
  ] as const) {
    await policyService(database).logPolicyExecution({
      policyId: 'limits_policy',
      actionType: 'policy_updated',
      customerId: customer,
      reason: 'Agreed limit',
      beforeState: { daily: before },
      afterState: { daily: after },
    });
  }
  expect(await run('logs list --text agree --customer-id c1')).toMatch(
    / limits_policy +policy_updated .*customer c1\n$/,
  );
  const [logId] = /log_[0-9a-f]{32}/.exec(await run('logs list --text agree --customer-id c1')) ?? [];
  expect(await run(`logs show ${logId}`)).toMatch(/\nChanges:\ndaily\n {2}- 100\n {2}\+ 250\n$/);

  const file = fileWith('');
  expect(await run(`logs export --format csv --to ${file} --policy-id limits_policy`)).toBe(`${file}: 2 rows.\n`);
  expect(readFileSync(file, 'utf8').trimEnd().split('\r\n')).toHaveLength(3);
  expect(await run(`logs export --to ${file} --text agreed --until 2020-01-01T00:00:00Z`)).toBe(`${file}: 0 rows.\n`);
  expect(readFileSync(file, 'utf8')).toBe('');
});

test('jobs are listed, run, paused and resumed', async () => {
  expect(await run('jobs list')).toMatch(/^partitions +6 h +– +– +– +\d{4}-.*Z +–$/m);
  expect(await run('jobs run partitions')).toMatch(/^done/m);
  expect(await run('jobs pause partitions --as anna')).toBe('partitions is paused.\n');
  expect(await run('jobs list')).toMatch(/^partitions +6 h +\d{4}-.*Z +\d+ .* paused by anna +\S+ \d+$/m);
  expect(await run('jobs list')).toMatch(/^The audit log is signed all the time, by nobody now: /m);
  expect(await run('jobs resume partitions')).toBe('partitions runs again.\n');
  await expect(run('jobs run nobody')).rejects.toMatchObject({ code: 'job_not_found' });
  await expect(run('jobs schedule --pg-cron')).rejects.toMatchObject({ code: 'pg_cron_missing' });
});

test('a webhook key can be made up for the sandbox, not for production', async () => {
  await expect(run('keys add production --generate')).rejects.toMatchObject({ code: 'provider_key_invalid' });
  const { key, fingerprint } = await document('keys add sandbox --generate');
  expect(key).toMatch(/^wk_test_/);
  expect(await run('keys list')).toMatch(new RegExp(`^sandbox +${String(fingerprint)} +database `, 'm'));
  await run(`keys remove sandbox ${String(fingerprint)}`);
  expect(await run('keys list')).toBe('No webhook keys: every webhook is refused.\n');
});
