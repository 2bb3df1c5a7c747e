import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { type CliExit, cli, directoryWithDatabase, startCli } from '../support/cli.ts';
import { httpServer } from '../support/localServers.ts';
import { insertPastDeliveries } from '../support/pastDeliveries.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const masterKey = Buffer.alloc(32, 7).toString('base64');

let database: TestPostgres;
let moonguard: Moonguard;
beforeEach(async () => {
  database = await openTestDatabase('postgres');
  moonguard = await createMoonguard({ database, masterKey, allowLoopbackDestinations: true });
});
afterEach(async () => {
  await moonguard.stop();
  await database.close();
});

const env = () => ({ DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: masterKey });
const run = (...args: string[]): Promise<CliExit> => cli(['webhooks', ...args], { env: env() });

async function createEndpoint(url: string): Promise<string> {
  const endpoint = await moonguard.webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
  return endpoint.id;
}

test('an endpoint that is resumed gets what was held by the command that resume names', async () => {
  const { url, requests } = await httpServer((_, response) => response.end());
  const endpointId = await createEndpoint(url);
  await insertPastDeliveries(database, { endpointId, count: 3 });
  await moonguard.webhooks.suspendWebhook(endpointId);
  await moonguard.start();

  const resumed = await run('resume', endpointId);
  const [, named = ''] = /webhooks (replay --endpoint \S+)$/m.exec(resumed.stdout) ?? [];
  const replayed = await run(...named.split(' '), '--watch');

  expect(replayed).toMatchObject({ code: 0, stderr: '' });
  expect(replayed.stdout).toMatch(/^0 of 3 released: 0 delivered, 0 failed$/m);
  expect(replayed.stdout).toMatch(/^status +completed$/m);
  expect(replayed.stdout).toMatch(/^delivered count +3$/m);
  expect(requests).toHaveLength(3);
});

test('every option narrows it down; list, show and cancel tell of it', async () => {
  const endpointId = await createEndpoint('https://example.com/hook');
  await insertPastDeliveries(database, { endpointId, count: 2, status: 'delivered' });
  await insertPastDeliveries(database, { endpointId, status: 'delivered', eventName: 'customer.kyc_completed' });
  const options = [
    '--endpoint',
    endpointId,
    '--status',
    'delivered',
    'filtered',
    '--type',
    'transaction.*',
    '--rate',
    '0.5',
  ];
  const times = ['--since', '2020-01-01T00:00:00Z', '--until', '2100-01-01T00:00:00Z', '--as', 'maria'];

  const begun = await run('replay', ...options, ...times);
  const [, id = ''] = /webhooks replays show (\S+)$/m.exec(begun.stdout) ?? [];
  const listed = await run('replays', 'list');
  const shown = await run('replays', 'show', id, '--json');
  const cancelled = await run('replays', 'cancel', id);
  const again = await run('replays', 'cancel', id);

  expect(begun.stdout).toMatch(/^A running server sends 2 deliveries as the replay /);
  expect(listed.stdout).toMatch(new RegExp(`^${id} +running +2 +0 +0 +0 +20.* maria +wh_`, 'm'));
  expect(JSON.parse(shown.stdout)).toMatchObject({
    id,
    statuses: ['delivered', 'filtered'],
    events: ['transaction.*'],
    since: '2020-01-01T00:00:00.000Z',
    until: '2100-01-01T00:00:00.000Z',
    ratePerSecond: 0.5,
    totalCount: 2,
    createdBy: 'maria',
  });
  expect(cancelled.stdout).toBe(`${id} is cancelled after 0 of 2.\n`);
  expect(again).toMatchObject({ code: 1, stderr: expect.stringMatching(/^replay_finished: /) });
});

test('on the embedded database watching does not wait for a server that cannot be there', async () => {
  const directory = directoryWithDatabase();
  const embedded = await createMoonguard({ dataDirectory: join(directory, 'data'), masterKey });
  const url = 'https://example.com/hook';
  const { id: endpointId } = await embedded.webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
  await insertPastDeliveries(embedded.database, { endpointId });
  await embedded.stop();
  const options = { directory, env: { MOONGUARD_MASTER_KEY: masterKey } };

  const { stdout } = await cli(['webhooks', 'replay', '--all', '--watch', '--json'], options);

  expect(JSON.parse(stdout)).toMatchObject({ status: 'running', totalCount: 1 });
});

test('watching with --json prints the end of it, and nothing before', async () => {
  const { url } = await httpServer((_, response) => response.end());
  await insertPastDeliveries(database, { endpointId: await createEndpoint(url), count: 2 });
  const watching = startCli(['webhooks', 'replay', '--all', '--watch', '--json'], { env: env() });
  await moonguard.start();

  const { stdout } = await watching.untilExit();

  expect(JSON.parse(stdout)).toMatchObject({ status: 'completed', deliveredCount: 2 });
});

test('a replay of everything must be asked for', async () => {
  const endpointId = await createEndpoint('https://example.com/hook');
  await insertPastDeliveries(database, { endpointId });

  const unsaid = await run('replay', '--rate', '5');
  const contradicting = await run('replay', '--all', '--endpoint', endpointId);

  expect(unsaid.code).toBe(2);
  expect(unsaid.stderr).toMatch(/^error: say which: --endpoint, --status, --type, --since or --until, or --all$/m);
  expect(contradicting).toMatchObject({ code: 2, stderr: expect.stringContaining("'--all' cannot be used with") });
  expect((await moonguard.webhooks.listReplays()).items).toEqual([]);
});
