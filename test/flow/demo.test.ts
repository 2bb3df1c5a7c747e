import { expect, test } from 'vitest';
import { cli, directoryWithDatabase, startCli, temporaryDirectory } from '../support/cli.ts';

const PROCESSES_TAKE_TIME_MS = 120_000;

test('the demo shows the whole life of an event from nothing, and a second run finds its data', {
  timeout: PROCESSES_TAKE_TIME_MS,
}, async () => {
  const directory = temporaryDirectory();
  const first = await cli(['demo', '--once', '--port', '0'], { directory });
  expect(first.code).toBe(0);
  for (const line of [
    /It is new and empty/,
    /received +transaction\.created +stored, for 2 endpoints/,
    /delivered +transaction\.completed +to orders, signatures verified/,
    /rejected +\S+ +by ledger with 500, on purpose \(attempt 1\)/,
    /retry +http_5xx +to ledger in/,
    /delivered +\S+ +to ledger, signatures verified \(attempt 3\)/,
    /duplicate +/,
    /late +transaction\.updated/,
    /policy log +rule_triggered/,
    /ALERT +kyc_verification +high: Identity check rejected/,
    /ALERT +transaction_monitoring +high: Transaction charged but not delivered/,
    /^total webhooks +2$/m,
    /^pending deliveries +0$/m,
    /^alert_[0-9a-f]{32} +high +open +suspicious_activity/m,
    /log_[0-9a-f]{32} +Payments taken back +rule_triggered/,
  ]) {
    expect(first.stdout).toMatch(line);
  }
  const [, events, deliveries, alerts, rows] =
    /^(\d+) events, (\d+) deliveries, (\d+) alerts, (\d+) policy log rows$/m.exec(first.stdout) ?? [];
  expect(Number(alerts)).toBe(5);

  const second = await cli(['demo', '--once', '--port', '0'], { directory });
  expect(second.code).toBe(0);
  expect(second.stdout).toContain(
    `It holds from before: ${events} events, ${deliveries} deliveries, ${alerts} alerts, ${rows} policy log rows.`,
  );
  expect(second.stdout).toContain(`\n${2 * Number(events)} events, ${2 * Number(deliveries)} deliveries, `);
  expect(second.stdout).toMatch(/^total webhooks +2$/m);
});

test.each([
  { when: 'in the middle of its round', line: /delivered +transaction\.completed/ },
  { when: 'while it goes on', line: /^Going on with a few events/ },
])(
  'Ctrl-C $when ends it cleanly, also when npm passes the signal on a second time',
  { timeout: PROCESSES_TAKE_TIME_MS },
  async ({ line }) => {
    const directory = directoryWithDatabase();
    const demo = startCli(['demo', '--port', '0'], { directory });
    await demo.untilLine(line);
    demo.kill('SIGINT');
    demo.kill('SIGINT');
    const { code, stdout, stderr } = await demo.untilExit();
    expect(stdout).toMatch(/Statistics: [^]*Policy log[^]*\nStopped\.\n$/);
    expect(stderr).toBe(
      'warn: made a master key, which encrypts stored secrets: data/master.key. Keep a copy; without it they are lost.\n',
    );
    expect(code).toBe(0);

    // The lock is free, and nothing is sent to a receiver that is not there any more.
    const { stdout: webhooks } = await cli(['webhooks', 'list', '--json'], { directory });
    expect(JSON.parse(webhooks)).toMatchObject({ items: [{ status: 'inactive' }, { status: 'inactive' }] });
  },
);
