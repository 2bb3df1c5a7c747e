import type { ServerResponse } from 'node:http';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { cli, directoryWithDatabase, type RunningCli, startCli } from '../support/cli.ts';
import { httpServer } from '../support/localServers.ts';
import { withDeadline } from '../support/signals.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const PROCESSES_TAKE_TIME_MS = 120_000;
const DEADLINE_MS = 60_000;
const masterKey = Buffer.alloc(32, 7).toString('base64');
/** One endpoint gets half of a process's slots. */
const CONCURRENCY = 4;
const AT_A_TIME = CONCURRENCY / 2;

describe('moonguard worker on PostgreSQL', { timeout: PROCESSES_TAKE_TIME_MS }, () => {
  let database: TestPostgres;
  let moonguard: Moonguard;
  beforeAll(async () => {
    database = await openTestDatabase('postgres');
    moonguard = await createMoonguard({ database, masterKey, allowLoopbackDestinations: true });
  });
  afterAll(async () => {
    await moonguard.stop();
    await database.close();
  });

  const start = (...args: readonly string[]): RunningCli =>
    startCli(['worker', ...args], {
      env: {
        DATABASE_URL: database.url,
        MOONGUARD_MASTER_KEY: masterKey,
        MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS: 'true',
        MOONGUARD_DELIVERY_CONCURRENCY: String(CONCURRENCY),
        MOONGUARD_LEASE_MS: '1000',
      },
    });

  /** Process ids of the first workers that have become ready. */
  async function untilReady(worker: RunningCli, workers: number): Promise<number[]> {
    const [text] = await worker.untilLine(new RegExp(`(?:Worker \\d+ is ready[^]*?){${workers}}`));
    return [...text.matchAll(/Worker (\d+) is ready/g)].map(([, processId]) => Number(processId));
  }

  /** A receiver that keeps requests waiting, and an endpoint that leads to it. */
  async function createReceiver() {
    const waiting = new Set<ServerResponse>();
    const seen = new Set<unknown>();
    let answering = false;
    let onRequest = (): void => {};
    const { url } = await httpServer((request, response) => {
      seen.add(request.headers['webhook-id']);
      waiting.add(response);
      response.once('close', () => waiting.delete(response));
      if (answering) response.end();
      onRequest();
    });
    const { id } = await moonguard.webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' });
    onTestFinished(() => moonguard.webhooks.deleteWebhook(id));
    const until = (isTrue: () => boolean): Promise<void> => {
      const { promise, resolve } = Promise.withResolvers<void>();
      onRequest = () => {
        if (isTrue()) resolve();
      };
      onRequest();
      return withDeadline(promise, () => `${waiting.size} requests wait, ${seen.size} were seen`, DEADLINE_MS);
    };
    return {
      sendEvents: async (count: number) => {
        for (let n = 0; n < count; n++) await moonguard.webhooks.sendTestEvent(id);
      },
      untilWaiting: (count: number) => until(() => waiting.size >= count),
      untilSeen: (count: number) => until(() => seen.size >= count),
      answer: () => {
        answering = true;
        for (const response of waiting) response.end();
      },
      statistics: async () => (await moonguard.webhooks.getStatistics({ webhookId: id })).deliveries,
    };
  }

  test('delivers in one process, without receiving', async () => {
    const receiver = await createReceiver();
    await receiver.sendEvents(3);
    const worker = start();
    receiver.answer();
    await receiver.untilSeen(3);
    worker.kill('SIGTERM');
    const { code, stdout } = await worker.untilExit();
    expect(code).toBe(0);
    expect(stdout).not.toContain('http');
    expect(await receiver.statistics()).toMatchObject({ made: 3, delivered: 3 });
  });

  test('two processes share the work, and end with it finished', async () => {
    const receiver = await createReceiver();
    const worker = start('--processes', '2');
    await untilReady(worker, 2);
    await receiver.sendEvents(20);
    // More than one process may have under way for one endpoint.
    await receiver.untilWaiting(2 * AT_A_TIME);
    worker.kill('SIGTERM');
    await worker.untilLine(/^Stopping/);
    receiver.answer();

    const { code, stdout } = await worker.untilExit();
    expect(stdout.match(/Worker \d+ has stopped/g)).toHaveLength(2);
    expect(stdout).toMatch(/^Stopped\.$/m);
    expect(code).toBe(0);
    const { delivered, pending } = await receiver.statistics();
    expect(delivered).toBeGreaterThanOrEqual(2 * AT_A_TIME);
    expect(delivered + pending).toBe(20);
  });

  test('a process killed with -9 is started again, and what it had is delivered', async () => {
    const receiver = await createReceiver();
    const worker = start('--processes', '2');
    const [victim = 0] = await untilReady(worker, 2);
    await receiver.sendEvents(10);
    await receiver.untilWaiting(2 * AT_A_TIME);
    process.kill(victim, 'SIGKILL');
    const started = await untilReady(worker, 3);
    expect(new Set(started).size).toBe(3);
    receiver.answer();
    await receiver.untilSeen(10);
    // Its successor takes part.
    worker.kill('SIGINT');
    const { code, stderr } = await worker.untilExit();
    expect(code).toBe(0);
    expect(stderr).toMatch(new RegExp(`"processId":${victim},"reason":"SIGKILL","restartInMs":500.*worker.ended`));
    expect(await receiver.statistics()).toMatchObject({ made: 10, exhausted: 0, held: 0 });
  });

  test('workers end by themselves when the process that started them is gone', async () => {
    const worker = start('--processes', '2');
    await untilReady(worker, 2);
    worker.kill('SIGKILL');
    // They hold its standard output open until they end.
    const { stdout } = await worker.untilExit();
    expect(stdout.match(/Worker \d+ has stopped/g)).toHaveLength(2);
  });

  test('a server that only receives leaves delivering to workers', async () => {
    const receiver = await createReceiver();
    receiver.answer();
    await receiver.sendEvents(1);
    const env = { DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: masterKey };
    const server = startCli(['start', '--port', '0', '--no-worker'], { env });
    await server.untilLine(/^ +Deliver +not in this process/);
    server.kill('SIGTERM');
    expect(await server.untilExit()).toMatchObject({ code: 0 });
    expect(await receiver.statistics()).toMatchObject({ pending: 1 });

    const worker = start();
    await receiver.untilSeen(1);
    worker.kill('SIGTERM');
    expect(await worker.untilExit()).toMatchObject({ code: 0 });
    expect(await receiver.statistics()).toMatchObject({ delivered: 1 });
  });

  test('what is wrong with the settings is told once, and nothing is started', async () => {
    const noServer = await cli(['worker', '--processes', '2'], {
      env: { DATABASE_URL: 'postgresql://127.0.0.1:1/none' },
    });
    expect(noServer).toMatchObject({ code: 1, stdout: '' });
    expect(noServer.stderr.match(/database_unavailable/g)).toHaveLength(1);
  });
});

test('on the embedded database there is one process', { timeout: PROCESSES_TAKE_TIME_MS }, async () => {
  const directory = directoryWithDatabase();
  const refused = await cli(['worker', '--processes', '2'], { directory });
  expect(refused).toMatchObject({ code: 1, stdout: '' });
  expect(refused.stderr).toMatch(/^database_serves_one_process: .*\nWhat to do: .*DATABASE_URL/);

  const worker = startCli(['worker'], { directory });
  await worker.untilLine(/^Worker \d+ is ready/);
  worker.kill('SIGTERM');
  expect(await worker.untilExit()).toMatchObject({ code: 0 });
});
