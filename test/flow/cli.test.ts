import { once } from 'node:events';
import { createServer } from 'node:http';
import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { listen } from '../../src/http/listen.ts';
import { cli, directoryWithDatabase, startCli, temporaryDirectory } from '../support/cli.ts';
import { shellWords } from '../support/shellWords.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const PROCESSES_TAKE_TIME_MS = 120_000;
const masterKey = Buffer.alloc(32, 7).toString('base64');

/** The one JSON document on standard output. */
function documentOf({ stdout }: { readonly stdout: string }): Record<string, unknown> {
  const parsed: unknown = JSON.parse(stdout);
  if (typeof parsed !== 'object' || parsed === null) throw new Error(`no JSON object: ${stdout}`);
  return { ...parsed };
}

test('a command line that is wrong ends with 2 and prints nothing to standard output', async () => {
  const { code, stdout, stderr } = await cli(['doctr']);
  expect(stderr).toMatch(/unknown command 'doctr'\n\(Did you mean doctor\?\)/);
  expect(stdout).toBe('');
  expect(code).toBe(2);
});

test('help ends with 0', async () => {
  const { code, stdout } = await cli(['alerts', 'list', '--help']);
  expect(stdout).toMatch(/Usage: moonguard alerts list/);
  expect(code).toBe(0);
});

test('every setting that is wrong is named at once', async () => {
  const { code, stderr } = await cli(['alerts', 'list'], {
    env: { MOONGUARD_PORT: 'http', DATABASE_URL: 'mysql://localhost/x' },
  });
  expect(stderr).toMatch(
    /^configuration_invalid: 2 problems\n {2}DATABASE_URL: .*\n {2}MOONGUARD_PORT: .*\nWhat to do: /,
  );
  expect(code).toBe(1);
});

describe('on PostgreSQL', { timeout: PROCESSES_TAKE_TIME_MS }, () => {
  let database: TestPostgres;
  beforeAll(async () => {
    database = await openTestDatabase('postgres');
  });
  afterAll(() => database.close());

  const run = (line: string) => cli(shellWords(line), { env: settings() });
  const settings = () => ({ DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: masterKey });

  test('what a service refuses ends with 1 and tells code, problems and what to do, with --json too', async () => {
    const url = 'http://user:password@example.com/hook';
    const { code, stdout, stderr } = await run(
      `webhooks create --url ${url} --events "compliance.*" --environment production --json`,
    );
    expect(stderr.split('\n')).toEqual([
      'webhook_invalid: 2 problems',
      expect.stringMatching(/^ {2}url: .*\(url_insecure\)$/),
      expect.stringMatching(/^ {2}events\.0: .*\(event_unknown_form\)$/),
      'What to do: Correct the fields that the problems name.',
      '',
    ]);
    expect(stdout).toBe('');
    expect(code).toBe(1);
  });

  test('a webhook key comes from standard input and is never printed', async () => {
    const key = 'wk_live_0123456789abcdef';
    const added = await cli(['keys', 'add', 'production'], { env: settings(), input: `${key}\n` });
    expect(added).toMatchObject({ code: 0, stderr: '' });
    const listed = await run('keys list --json');
    expect(added.stdout + listed.stdout).not.toContain(key);
    const [{ fingerprint } = { fingerprint: '' }] = JSON.parse(listed.stdout) as { fingerprint: string }[];
    expect(added.stdout).toContain(fingerprint);
    expect(await run(`keys remove production ${fingerprint}`)).toMatchObject({ code: 0 });
    expect(await run('keys list')).toMatchObject({ stdout: 'No webhook keys: every webhook is refused.\n' });
  });

  test('the doctor ends with 1 while something is missing and with 0 when it is there', async () => {
    const ill = await run('doctor --json');
    expect(ill.code).toBe(1);
    expect(documentOf(ill)).toMatchObject({ healthy: false });
    const webhookKey = { MOONPAY_WEBHOOK_KEYS_SANDBOX: 'wk_test_0123456789abcdef' };
    const well = await cli(['doctor'], { env: { ...settings(), ...webhookKey } });
    expect(well.stdout).toMatch(/0 problems/);
    expect(well.code).toBe(0);
  });

  test('the server and other commands work side by side', async () => {
    await run('keys add sandbox --generate');
    const server = startCli(['start', '--port', '0'], { env: settings() });
    const [, url = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox$/);

    const simulated = await run(`simulate --url ${url} --scenario identity_rejected --json`);
    expect(documentOf(simulated)).toMatchObject({ sent: 2, stored: 2, refused: 0 });
    const ready = await fetch(`${url}/readyz`);
    expect(await ready.json()).toEqual({ status: 'ready', database: 'ok', schema: 'current' });
    expect(await run('webhooks stats')).toMatchObject({ code: 0 });

    server.kill('SIGTERM');
    expect(await server.untilExit()).toMatchObject({ code: 0, stdout: expect.stringContaining('Stopped.') });
  });

  test('a second signal ends the server at once, whatever it waits for', async () => {
    const server = startCli(['start', '--port', '0'], { env: settings() });
    const [, url = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox/);
    const sender = connect(Number(new URL(url).port), '127.0.0.1');
    await once(sender, 'connect');
    sender
      .on('error', () => {})
      .write('POST /webhooks/moonpay/sandbox HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{');
    server.kill('SIGINT');
    await server.untilLine(/^Stopping/);
    // Within a second of the first it counts as the same, so somebody keeps pressing.
    const impatience = setInterval(() => server.kill('SIGINT'), 100);
    const { code, stdout } = await server.untilExit();
    clearInterval(impatience);
    expect(stdout).not.toContain('Stopped.');
    expect(code).toBe(130);
  });

  test('an address that is taken is told', async () => {
    const other = createServer();
    const url = new URL(await listen(other, 0, '127.0.0.1'));
    const { code, stderr } = await run(`start --port ${url.port}`);
    other.close();
    expect(stderr).toMatch(/address_unavailable: .*EADDRINUSE/);
    expect(code).toBe(1);
  });

  test('a database that is not there is no bug of ours', async () => {
    const noServer = await cli(['alerts', 'list'], { env: { DATABASE_URL: 'postgresql://127.0.0.1:1/none' } });
    expect(noServer.stderr).toMatch(/^database_unavailable: .*ECONNREFUSED/);
    const noDatabase = new URL('/none', database.url).href;
    const { code, stderr } = await cli(['alerts', 'list'], { env: { DATABASE_URL: noDatabase } });
    expect(stderr).toMatch(/^configuration_invalid: DATABASE_URL: database "none" does not exist/);
    expect(code).toBe(1);
  });
});

describe('on the embedded database', { timeout: PROCESSES_TAKE_TIME_MS }, () => {
  test('start makes it ready to be tried, locks it, and ends cleanly', async () => {
    const directory = directoryWithDatabase();
    const server = startCli(['start', '--port', '0'], { directory });
    const [, url = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox$/);
    await server.untilLine(/^ {2}npm run moonguard -- simulate --url http/);

    const simulated = await cli(['simulate', '--url', url], { directory });
    expect(simulated).toMatchObject({ code: 0, stdout: expect.stringContaining('4 sent, 4 stored') });
    const refused = await cli(['simulate', '--url', url, '--key', 'wk_test_another_key_00'], { directory });
    expect(refused).toMatchObject({ code: 1, stdout: expect.stringContaining('401 signature_mismatch') });

    const locked = await cli(['alerts', 'list'], { directory });
    expect(locked).toMatchObject({ code: 1, stdout: '' });
    expect(locked.stderr).toMatch(/^database_locked: .*\nWhat to do: .*PostgreSQL/);

    server.kill('SIGINT');
    expect(await server.untilExit()).toMatchObject({ code: 0 });
    expect(documentOf(await cli(['webhooks', 'stats', '--json'], { directory }))).toMatchObject({
      now: { totalWebhooks: 0 },
    });
  });

  test('the made-up key is the same at the next start, and is not made where there is one', async () => {
    const directory = directoryWithDatabase();
    await cli(['keys', 'add', 'sandbox'], { directory, input: 'wk_test_0123456789abcdef' });
    const server = startCli(['start', '--port', '0'], { directory });
    await server.untilLine(/Ctrl-C stops/);
    server.kill('SIGTERM');
    const { stdout } = await server.untilExit();
    expect(stdout).not.toContain('made-up');
    const { stdout: keys } = await cli(['keys', 'list', '--json'], { directory });
    expect(JSON.parse(keys)).toHaveLength(1);
  });

  test('production on it is warned about', async () => {
    const directory = directoryWithDatabase();
    const server = startCli(['start', '--port', '0'], { directory, env: { NODE_ENV: 'production' } });
    await server.untilLine(/^WARNING: production on the embedded database/);
    server.kill('SIGTERM');
    await server.untilExit();
  });

  test('the doctor makes nothing where there is nothing', async () => {
    const directory = temporaryDirectory();
    const { code, stdout } = await cli(['doctor'], { directory });
    expect(stdout).toMatch(/^PROBLEM +database +there is none in \.\/data yet\n +→ Run moonguard start/);
    expect(code).toBe(1);
  });

  test('migrate tells how far a database is', async () => {
    const directory = directoryWithDatabase();
    const { current, wanted, pending } = documentOf(await cli(['migrate', '--status', '--json'], { directory }));
    expect({ current, pending }).toEqual({ current: wanted, pending: [] });
    expect((await cli(['migrate'], { directory })).stdout).toBe(
      `Nothing to do: up to date, version ${String(wanted)}.\n`,
    );
  });
});
