import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Gauge, judge } from '../../scripts/soak/flatness.ts';

const soak = fileURLToPath(new URL('../../scripts/soak.ts', import.meta.url));

test.each(['postgres', 'embedded'])(
  'a soak of a few seconds runs to its end (%s)',
  { timeout: 120_000 },
  (database) => {
    const args = [soak, '--minutes', '0.08', '--every', '1.2', '--rate', '10', '--database', database];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });

    expect({ status, stderr }, stdout).toEqual({ status: 0, stderr: '' });
    const [, , ...lines] = stdout.split('\n\n')[0]?.split('\n') ?? [];
    expect(lines).toHaveLength(4);
    const acknowledged = lines.map((line) => Number(line.trim().split(/ +/)[1]));
    expect(
      acknowledged.some((count) => count > 0),
      stdout,
    ).toBe(true);
    expect(stdout).toContain('Too few lines to say');
  },
);

describe('flat is', () => {
  const gauge: Gauge = { name: 'rss', unit: 'MiB', allowance: 5 };
  const isFlat = (values: readonly number[]): boolean | undefined => judge(gauge, values)?.isFlat;
  const points = (count: number, value: (place: number) => number): number[] =>
    Array.from({ length: count }, (_, place) => value(place));

  test('what stays, whatever its level and however it trembles', () => {
    const noise = fc.array(fc.double({ min: -0.02, max: 0.02, noNaN: true }), { minLength: 15, maxLength: 60 });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 10_000 }), noise, (level, shares) => {
        expect(isFlat(shares.map((share) => level * (1 + share)))).toBe(true);
      }),
    );
  });

  test.each([
    ['what rises only at the beginning', points(30, (place) => 100 + Math.min(place, 9) * 50)],
    ['what falls', points(30, (place) => 1000 - place * 10)],
    ['a saw', points(30, (place) => 100 + (place % 5) * 20)],
    ['a line with peaks', points(30, (place) => (place % 7 === 0 ? 10_000 : 100))],
    ['what rises by less than the allowance', points(30, (place) => place * 0.4)],
  ])('%s', (_, values) => expect(isFlat(values)).toBe(true));

  test.each([
    ['what rises steadily', points(30, (place) => 100 + place)],
    ['a saw that climbs', points(30, (place) => 100 + (place % 5) * 20 + place * 2)],
    ['what begins to rise in the middle', points(60, (place) => 100 + Math.max(0, place - 30) * 5)],
  ])('not %s', (_, values) => expect(isFlat(values)).toBe(false));

  test('not to be said of a few points', () => expect(isFlat(points(14, () => 1))).toBeUndefined());
});
