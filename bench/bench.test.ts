import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, inject, test } from 'vitest';

const main = fileURLToPath(new URL('./main.ts', import.meta.url));

async function runBench(...args: string[]): Promise<string> {
  const environment = { ...process.env, DATABASE_URL: inject('postgresUrl') };
  const { stdout } = await promisify(execFile)(process.execPath, [main, ...args], { env: environment });
  return stdout;
}

const figures = { median: expect.any(Number), min: expect.any(Number), max: expect.any(Number) };
const times = { p50: expect.any(Number), p95: expect.any(Number), p99: expect.any(Number) };

test.each([
  ['delivery', 'deliveries/s', 'limit', figures],
  ['ingest', 'events/s', 'moonguard-no-database', { ...figures, ...times }],
  ['latency', 'ms', 'limit', { ...figures, ...times }],
])('%s measures us and the limit, and ends with one line of JSON', async (bench, unit, limit, expected) => {
  const output = await runBench(bench, '--n', '1', '--json');

  const lines = output.trimEnd().split('\n');
  const { variants, ...rest } = JSON.parse(lines.at(-1) ?? '');
  expect(rest).toEqual({ bench, n: 1, unit });
  expect(variants).toMatchObject({ moonguard: expected, [limit]: expected, limit: expected });
  for (const { median, min, max } of [variants.moonguard, variants.limit]) {
    expect(min).toBeGreaterThan(0);
    expect(median).toBe(min);
    expect(max).toBe(min);
  }
  expect(lines.at(-3)).toMatch(/^moonguard +\d/);
});

test('delivery runs on the embedded database', async () => {
  expect(await runBench('delivery', '--n', '1', '--database', 'embedded')).toMatch(/^moonguard +\d/m);
});

test('a mistake in the arguments is told with the usage', async () => {
  await expect(runBench('delivery', '--n', '0')).rejects.toMatchObject({
    code: 2,
    stderr: expect.stringMatching(/^--n is a whole number.*\n\nnpm run bench/),
  });
});
