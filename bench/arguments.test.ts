import { expect, test } from 'vitest';
import { parseArguments } from './arguments.ts';

test.each([
  [
    'delivery',
    { bench: 'delivery', n: 20_000, rounds: 5, json: false, database: 'postgres', scenario: 'fast', only: undefined },
  ],
  ['latency', { n: 1_000 }],
  ['history', { n: 1_000_000 }],
  ['alerts', { n: 1_000_000, rounds: 5 }],
  ['policies', { n: 2_000 }],
  ['policy-log', { n: 50_000, rounds: 5 }],
  ['audit', { n: 20_000, rounds: 5 }],
  ['retention', { n: 1_000_000, rounds: 5 }],
  ['ingest --n 100', { n: 100, rounds: 1 }],
  ['ingest --n 101 --json', { rounds: 5, json: true }],
  ['ingest --n 1 --rounds 3 --database embedded', { rounds: 3, database: 'embedded' }],
  ['delivery --scenario slow --only moonguard,limit', { scenario: 'slow', only: ['moonguard', 'limit'] }],
])('%s', (line, expected) => {
  expect(parseArguments(line.split(' '))).toMatchObject(expected);
});

test('--help asks for nothing else', () => {
  expect(parseArguments(['--help'])).toBeUndefined();
});

test.each([
  ['nothing', 'Name one bench: delivery, ingest, latency, history, alerts, policies, policy-log, audit, retention'],
  ['delivery ingest', 'Name one bench'],
  ['delivery --n 0', '--n is a whole number'],
  ['delivery --rounds 1.5', '--rounds is a whole number'],
  ['delivery --database mysql', '--database is postgres or embedded'],
  ['delivery --scenario quick', '--scenario is one of fast, slow, delayed, failing, endpoints'],
  ['ingest --scenario slow', '--scenario is for delivery'],
  ['alerts --database embedded', 'alerts is measured on PostgreSQL'],
  ['audit --database embedded', 'audit is measured on PostgreSQL'],
  ['retention --database embedded', 'retention is measured on PostgreSQL'],
  ['delivery --fast', "'--fast'"],
])('%s is refused', (line, message) => {
  expect(() => parseArguments(line.split(' '))).toThrow(message);
});
