import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { createProgram } from '../../src/cli/program.ts';
import { createCertificate } from '../support/certificates.ts';
import { shellWords } from '../support/shellWords.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

/** The commands that work with data, in this process: cli.test.ts looks at them as processes. */

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

/** What a command prints to standard output. */
async function run(line: string): Promise<string> {
  let printed = '';
  const log = vi.spyOn(console, 'log').mockImplementation((printedLine: string) => {
    printed += `${printedLine}\n`;
  });
  try {
    await createProgram().parseAsync(shellWords(line), { from: 'user' });
  } finally {
    log.mockRestore();
  }
  return printed;
}

/** The one JSON document that a command prints with --json. */
async function document(line: string): Promise<Record<string, unknown>> {
  const parsed: unknown = JSON.parse(await run(`${line} --json`));
  if (typeof parsed !== 'object' || parsed === null) throw new Error('the command printed no JSON object');
  return { ...parsed };
}

test('an alert goes its way, and the history names who did what', async () => {
  const created = await document(
    'alerts create --alert-type aml_screening --severity high --customer-id customer_123 --risk-score 85 --title "High Risk Customer Detected" --as anna',
  );
  expect(created).toMatchObject({ status: 'open', riskLevel: 'extreme', customerId: 'customer_123' });
  const id = String(created['alertId']);

  const assigned = await run(`alerts assign ${id} maria --as anna`);
  expect(assigned).toBe(`${id} is open, assigned to maria (version 2).\n`);
  await run(`alerts review ${id} --as maria`);
  await run(`alerts comment ${id} "Asked for a proof of address" --as maria`);
  await run(`alerts escalate ${id} --to head --reason "large amounts" --as maria`);
  await run(`alerts resolve ${id} --notes Reported --as head`);
  await run(`alerts reopen ${id} --reason "New documents" --as anna`);
  await expect(run(`alerts review ${id} --expected-version 2`)).rejects.toMatchObject({
    code: 'alert_version_stale',
  });

  expect(await document(`alerts show ${id}`)).toMatchObject({
    status: 'open',
    timeline: [
      { actor: 'anna', action: 'created', toStatus: 'open' },
      { actor: 'anna', action: 'changed' },
      { actor: 'maria', toStatus: 'in_review' },
      { actor: 'maria', action: 'commented', reason: 'Asked for a proof of address' },
      { actor: 'maria', toStatus: 'escalated', reason: 'large amounts' },
      { actor: 'head', toStatus: 'resolved', reason: 'Reported' },
      { actor: 'anna', toStatus: 'open', reason: 'New documents' },
    ],
  });
});

test('lists are tables for people and pages for programs', async () => {
  for (const title of ['First', 'Second']) {
    await run(`alerts create --alert-type pep_screening --severity low --title ${title}`);
  }
  const list = 'alerts list --alert-type pep_screening';
  expect((await run(list)).split('\n')).toEqual([
    expect.stringMatching(/^ALERT +SEVERITY +STATUS +TYPE +HITS +TRIGGERED +ASSIGNED TO +TITLE$/),
    expect.stringMatching(/^alert_[0-9a-f]{32} +low +open +pep_screening +1 +20.* Second$/),
    expect.stringMatching(/^alert_[0-9a-f]{32} +low +open +pep_screening +1 +20.* First$/),
    '',
  ]);

  const first = await document(`${list} --limit 1`);
  expect(first).toMatchObject({ items: [{ title: 'Second' }] });
  const second = await document(`${list} --cursor ${String(first['nextCursor'])}`);
  expect(second).toMatchObject({ items: [{ title: 'First' }] });
  expect(await document('alerts list --search firs')).toMatchObject({ items: [{ title: 'First' }] });
});

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

  expect(await run(`webhooks history ${id}`)).toMatch(/ active .*\n.* inactive .* maintenance\n.* active +anna/);
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

test('a webhook key can be made up for the sandbox, not for production', async () => {
  await expect(run('keys add production --generate')).rejects.toMatchObject({ code: 'provider_key_invalid' });
  const { key, fingerprint } = await document('keys add sandbox --generate');
  expect(key).toMatch(/^wk_test_/);
  expect(await run('keys list')).toMatch(new RegExp(`^sandbox +${String(fingerprint)} +database `, 'm'));
  await run(`keys remove sandbox ${String(fingerprint)}`);
  expect(await run('keys list')).toBe('No webhook keys: every webhook is refused.\n');
});
