import { describe, expect, test } from 'vitest';
import { median, percentile } from './statistics.ts';

describe('median', () => {
  test.each([
    [[7], 7],
    [[9, 1, 5], 5],
    [[9, 1, 5, 3], 4],
    [[10, 9], 9.5],
  ])('of %j is %d', (values, expected) => expect(median(values)).toBe(expected));

  test('of nothing is no number', () => expect(median([])).toBeNaN());
});

describe('percentile', () => {
  const hundred = Array.from({ length: 100 }, (_, index) => 100 - index);

  test.each([
    [hundred, 0.5, 50],
    [hundred, 0.99, 99],
    [hundred, 1, 100],
    [[3, 1, 2], 0.5, 2],
    [[4], 0.01, 4],
  ])('of %j at %d is %d', (values, share, expected) => expect(percentile(values, share)).toBe(expected));
});
