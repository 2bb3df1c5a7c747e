import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, inject, test } from 'vitest';
import { isRedisInstalled } from './queues/redis.ts';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

interface Output {
  readonly text: string;
  /** The last line. */
  readonly json: {
    readonly bench: string;
    readonly n: number;
    readonly unit: string;
    readonly variants: Readonly<Record<string, Record<'median' | 'min' | 'max', number>>>;
  };
}

async function runBench(line: string, environment: NodeJS.ProcessEnv = {}): Promise<Output> {
  const { stdout: text } = await promisify(execFile)(process.execPath, [main, ...line.split(' '), '--json'], {
    env: { ...process.env, DATABASE_URL: inject('postgresUrl'), ...environment },
  });
  return { text, json: JSON.parse(text.trimEnd().split('\n').at(-1) ?? '') };
}

const withRedis = (...names: string[]): string[] => (isRedisInstalled() ? names : []);

/** Those that try again; as the documented ones do. */
const refused = ['moonguard', 'limit', 'pg-boss', ...withRedis('bullmq')];

const figures = { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) };
const times = { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) };

describe('every variant of every bench runs', { timeout: 60_000 }, () => {
  test.each([
    [
      'delivery --n 1',
      'deliveries/s',
      figures,
      [
        'moonguard',
        'limit',
        'pg-boss',
        'pg-boss-documented',
        'graphile-worker',
        'graphile-worker-documented',
        ...withRedis('bullmq', 'bullmq-documented'),
      ],
    ],
    ['delivery --n 1 --scenario endpoints', 'deliveries/s', figures, ['moonguard', 'moonguard-healthy-alone', 'limit']],
    // The tenth is refused at first.
    [`delivery --n 10 --scenario failing --only ${refused.join()}`, 'deliveries/s', figures, refused],
    ['delivery --n 1 --scenario delayed --only moonguard,limit', 'deliveries/s', figures, ['moonguard', 'limit']],
    [
      'latency --n 1',
      'ms',
      { ...figures, ...times },
      ['moonguard', 'limit', 'graphile-worker', 'pg-boss', ...withRedis('bullmq')],
    ],
    ['history --n 1', 'ms', figures, ['history', 'empty', 'limit']],
    [
      'alerts --n 100',
      'ms',
      { ...figures, ...times },
      ['list', 'filter', 'search', 'counts', 'create', 'create-linked', 'limit'],
    ],
    [
      'policies --n 10',
      'events/s',
      figures,
      ['every-rule', 'hits', 'evaluate', 'rules', 'json-logic-engine', 'json-rules-engine', 'limit'],
    ],
    ['policy-log --n 2', 'rows/s', figures, ['batch', 'single', 'limit']],
    ['retention --n 100', 'ms at p99', { ...figures, ...times }, ['during-cleanup', 'undisturbed', 'limit']],
    [
      'audit --n 1 --only insert-1-sequenced,insert-1,sequencer,checkpoint,proof',
      'rows/s',
      figures,
      ['insert-1-sequenced', 'insert-1', 'sequencer', 'checkpoint', 'proof'],
    ],
    ['delivery --n 1 --database embedded', 'deliveries/s', figures, ['moonguard', 'limit']],
    ['latency --n 1 --database embedded', 'ms', { ...figures, ...times }, ['moonguard', 'limit']],
  ])('%s', async (line, unit, expected, names) => {
    const { json } = await runBench(line);

    expect(json).toMatchObject({ bench: line.split(' ')[0], unit });
    expect(Object.keys(json.variants).toSorted()).toEqual(names.toSorted());
    for (const variant of Object.values(json.variants)) {
      expect(variant).toMatchObject(expected);
      expect(variant.min).toBeGreaterThan(0);
      expect([variant.median, variant.max]).toEqual([variant.min, variant.min]);
    }
  });

  test('ingest --n 1', async () => {
    const { json } = await runBench('ingest --n 1');

    expect(json).toMatchObject({ bench: 'ingest', n: 1, unit: 'events/s' });
    const { moonguard, 'moonguard-no-database': limit, 'fastify-pg': peer } = json.variants;
    expect(moonguard).toMatchObject({ ...figures, ...times });
    expect(peer).toMatchObject({ ...figures, ...times });
    expect(json.variants['limit']).toEqual(limit);
  });
});

test('the table comes before the line of JSON', { timeout: 60_000 }, async () => {
  const { text } = await runBench('delivery --n 1 --scenario slow --only moonguard,limit');

  expect(text.trimEnd().split('\n').slice(-4)).toEqual([
    expect.stringMatching(/^ +deliveries\/s +of the limit/),
    expect.stringMatching(/^moonguard +\d/),
    expect.stringMatching(/^limit +[\d.]+ +1\.00 /),
    expect.stringMatching(/^\{"bench":"delivery","n":1,/),
  ]);
});

test('what cannot be measured is said', { timeout: 60_000 }, async () => {
  const { text } = await runBench('delivery --n 1 --only limit', { PATH: dirname(process.execPath) });

  expect(text).toContain('not measured: bullmq: no redis-server is installed');
});

test('an interrupted run ends all of its processes', { timeout: 60_000 }, async () => {
  const run = spawn(process.execPath, [main, ...'delivery --n 1 --rounds 100000 --only moonguard,limit'.split(' ')], {
    env: { ...process.env, DATABASE_URL: inject('postgresUrl') },
  });
  const ended = once(run, 'exit');
  // Its processes write to the same pipe: it is closed when the last one has ended.
  const allEnded = once(run, 'close');
  for await (const line of run.stdout) if (String(line).includes('round 2')) run.kill('SIGINT');

  expect(await ended).toEqual([1, null]);
  await allEnded;
});

test.each([
  ['delivery --n 0', /^--n is a whole number.*\n\nnpm run bench/],
  ['delivery --n 1 --only moonguard,rabbits', /No variant rabbits here: moonguard, limit, /],
])('%s is refused, and says why', { timeout: 60_000 }, async (line, stderr) => {
  await expect(runBench(line)).rejects.toMatchObject({
    code: expect.any(Number),
    stderr: expect.stringMatching(stderr),
  });
});
