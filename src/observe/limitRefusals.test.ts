import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { limitRefusals } from './limitRefusals.ts';
import type { Observation } from './observation.ts';

const refused = (code: 'signature_missing' | 'body_too_large', reason = 'because'): Observation => ({
  type: 'event.refused',
  environment: 'sandbox',
  code,
  reason,
});

let lines: Observation[];

beforeEach(() => {
  lines = [];
  vi.useFakeTimers();
});
afterEach(() => void vi.useRealTimers());

test('a hundred thousand refusals of a kind are the first one and one for all the others', () => {
  const observe = limitRefusals((line) => lines.push(line), 60_000);
  for (let n = 0; n < 100_000; n++) observe(refused('signature_missing', `number ${n}`));
  expect(lines).toEqual([refused('signature_missing', 'number 0')]);

  vi.advanceTimersByTime(60_000);
  expect(lines.slice(1)).toEqual([{ ...refused('signature_missing', 'number 99999'), times: 99_999 }]);
});

test('each kind has a line of its own', () => {
  const observe = limitRefusals((line) => lines.push(line));
  observe(refused('signature_missing'));
  observe(refused('body_too_large'));
  observe({ ...refused('body_too_large'), environment: 'production' } as Observation);
  expect(lines).toHaveLength(3);
});

test('after an interval without any the next is said at once again; until then one line an interval', () => {
  const observe = limitRefusals((line) => lines.push(line), 1_000);
  for (let second = 0; second < 3; second++) {
    observe(refused('signature_missing'));
    observe(refused('signature_missing'));
    vi.advanceTimersByTime(1_000);
  }
  expect(lines.map((line) => 'times' in line && line.times)).toEqual([false, 1, 2, 2]);

  vi.advanceTimersByTime(1_000);
  observe(refused('signature_missing'));
  expect(lines).toHaveLength(5);
  expect(lines[4]).toEqual(refused('signature_missing'));
});

test('what is not a refusal passes', () => {
  const observe = limitRefusals((line) => lines.push(line));
  for (let n = 0; n < 3; n++) observe({ type: 'event.late', eventId: '1', eventName: 'transaction.updated' });
  expect(lines).toHaveLength(3);
});
