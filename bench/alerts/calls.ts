import type { AlertFilterInput, CountFilterInput, SearchFilterInput } from '../../src/compliance/alertFilter.ts';
import type { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import type { ReadOptions } from '../../src/input/writeOptions.ts';

export const readings = ['list', 'filter', 'search', 'counts'] as const;
export type Reading = (typeof readings)[number];

/** One kind of question; `turn` chooses the values that are asked for. */
export interface Call {
  readonly name: string;
  readonly ask: (compliance: ComplianceService, options: ReadOptions, turn: number) => Promise<unknown>;
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** @param n how many alerts there are, as `addAlerts` made them */
export function callsOf(reading: Reading, n: number): readonly Call[] {
  const now = performance.timeOrigin + performance.now();
  const daysAgo = (days: number) => new Date(now - days * DAY_MS);
  switch (reading) {
    case 'list':
      return [
        list('the newest', () => ({})),
        list('the newest, 200', () => ({ limit: 200 })),
        list('to be worked on', () => ({ status: ['open', 'in_review', 'escalated'] })),
        list('one status', (turn) => ({ status: pick(['open', 'escalated', 'resolved'], turn) })),
        list('what is due next', () => ({ sort: 'due' })),
        list('somebody’s own', (turn) => ({ assignedTo: personOf(turn), status: ['open', 'in_review', 'escalated'] })),
        list('nobody’s', () => ({ assignedTo: null, status: 'open' })),
        list('archived', () => ({ archived: true })),
        // From its cursor on, a page in the depths of the whole list.
        {
          name: 'a page in the depths',
          ask: (compliance, options, turn) =>
            compliance.listAlerts({ cursor: cursorAt(daysAgo((turn * 37) % 360)) }, options),
        },
        {
          name: 'a page in the depths of the undecided',
          ask: (compliance, options, turn) =>
            compliance.listAlerts(
              { cursor: cursorAt(daysAgo((turn * 7) % 40)), status: ['open', 'in_review', 'escalated'] },
              options,
            ),
        },
      ];
    case 'filter':
      return filtersOf(n, daysAgo);
    case 'search':
      return [
        search('a frequent word', () => 'screening'),
        search('two frequent words', () => 'transaction limit'),
        search('a name', (turn) => pick(['balomi', 'dorfengal', 'witpelnak', 'zabake'], turn)),
        search('the beginning of a name', (turn) => pick(['balo', 'dorf', 'hus', 'k'], turn)),
        search(
          'a frequent and a rare word',
          (turn) => `structuring ${pick(['mixer balomi', 'keseti', 'rasevo'], turn)}`,
        ),
        search('one reference', (turn) => `R${1 + ((turn * 7919) % n)}`),
        search('no word of any', () => 'xylophone'),
        search(
          'frequent, undecided',
          () => 'chargeback',
          () => ({ status: ['open', 'escalated'] }),
        ),
        search(
          'frequent, of one customer',
          () => 'screening',
          (turn) => ({ customerId: customerOf(turn, n) }),
        ),
        search(
          'frequent, in the depths',
          () => 'velocity',
          (turn) => ({ triggeredTo: daysAgo((turn * 37) % 360) }),
        ),
        search(
          'a name, archived',
          () => 'balomi',
          () => ({ archived: true }),
        ),
      ];
    case 'counts':
      return [
        { name: 'counts', ask: (compliance, options) => compliance.getCounts(options) },
        { name: 'open by severity', ask: (compliance, options) => compliance.getStats(options) },
        {
          name: 'trend of 90 days',
          ask: (compliance, options) => compliance.getTrend({ since: daysAgo(90) }, options),
        },
        count('of a list: all', () => ({})),
        count('of a list: undecided', () => ({ status: ['open', 'in_review', 'escalated'] })),
        count('of a list: somebody’s own', (turn) => ({ assignedTo: personOf(turn), status: ['open', 'in_review'] })),
        count('of a list: overdue', () => ({ overdue: true })),
      ];
  }
}

function filtersOf(n: number, daysAgo: (days: number) => Date): readonly Call[] {
  const number = (turn: number) => 1 + ((turn * 7919) % n);
  const filters: readonly [string, (turn: number) => AlertFilterInput][] = [
    ['alertType', (turn) => ({ alertType: pick(['pep_screening', 'sanctions_check', 'address_verification'], turn) })],
    ['severity', (turn) => ({ severity: pick(['low', 'critical'], turn) })],
    ['riskLevel', (turn) => ({ riskLevel: pick(['low', 'extreme'], turn) })],
    ['customerId', (turn) => ({ customerId: customerOf(turn, n) })],
    ['transactionId', (turn) => ({ transactionId: `tx_${number(turn)}` })],
    ['entityId', (turn) => ({ entityId: `tx_${number(turn)}` })],
    ['entityType and entityId', (turn) => ({ entityType: 'transaction', entityId: `tx_${number(turn)}` })],
    ['walletAddress', (turn) => ({ walletAddress: `wallet_${turn % 1000}` })],
    ['correlationId', (turn) => ({ correlationId: `corr_${number(turn)}` })],
    ['assignedTo', (turn) => ({ assignedTo: personOf(turn) })],
    ['reviewedBy', (turn) => ({ reviewedBy: personOf(turn) })],
    ['resolvedBy', (turn) => ({ resolvedBy: personOf(turn) })],
    ['resolvedBy nobody known', () => ({ resolvedBy: 'nobody' })],
    ['escalatedTo', () => ({ escalatedTo: 'head' })],
    ['queue', (turn) => ({ queue: pick(['sanctions', 'fraud'], turn) })],
    ['source', (turn) => ({ source: pick(['rules', 'import', 'nowhere'], turn) })],
    ['externalReference', (turn) => ({ externalReference: `ext_${number(turn)}` })],
    ['dedupeKey', (turn) => ({ dedupeKey: `rule:${number(turn)}` })],
    ['groupId', () => ({ groupId: '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f' })],
    ['autoGenerated', () => ({ autoGenerated: false })],
    ['breached', () => ({ breached: true })],
    ['suppressed', () => ({ suppressed: true })],
    ['merged', () => ({ merged: true })],
    ['overdue', () => ({ overdue: true })],
    ['minRiskScore', () => ({ minRiskScore: 99 })],
    ['maxRiskScore', () => ({ maxRiskScore: 5 })],
    [
      'triggered window',
      (turn) => ({ triggeredFrom: daysAgo(100 + (turn % 200)), triggeredTo: daysAgo(99 + (turn % 200)) }),
    ],
    ['due window', (turn) => ({ dueFrom: daysAgo(100 + (turn % 200)), dueTo: daysAgo(99 + (turn % 200)) })],
    [
      'resolved window',
      (turn) => ({ resolvedFrom: daysAgo(100 + (turn % 200)), resolvedTo: daysAgo(99 + (turn % 200)) }),
    ],
    ['details', (turn) => ({ details: { rule: `rule_${turn % 500}` } })],
    ['metadata', () => ({ metadata: { environment: 'production' } })],
    ['severity and status', () => ({ severity: 'critical', status: ['open', 'escalated'] })],
    ['type and resolvedBy', (turn) => ({ alertType: 'pep_screening', resolvedBy: personOf(turn) })],
    ['customer and status', (turn) => ({ customerId: customerOf(turn, n), status: 'dismissed' })],
    ['queue, open, nobody’s', () => ({ queue: 'sanctions', status: 'open', assignedTo: null })],
  ];
  return filters.map(([name, filterOf]) => list(name, filterOf));
}

const list = (name: string, filterOf: (turn: number) => AlertFilterInput): Call => ({
  name,
  ask: (compliance, options, turn) => compliance.listAlerts(filterOf(turn), options),
});

const search = (
  name: string,
  wordsOf: (turn: number) => string,
  filterOf: (turn: number) => SearchFilterInput = () => ({}),
): Call => ({
  name,
  ask: (compliance, options, turn) => compliance.searchAlerts(wordsOf(turn), filterOf(turn), options),
});

const count = (name: string, filterOf: (turn: number) => CountFilterInput): Call => ({
  name,
  ask: (compliance, options, turn) => compliance.countAlerts(filterOf(turn), options),
});

const personOf = (turn: number): string => `person_${turn % 40}`;
const customerOf = (turn: number, n: number): string => `customer_${(turn * 7919) % Math.max(1, Math.floor(n / 5))}`;

/** As a page ends that is before this time. */
function cursorAt(time: Date): string {
  return Buffer.from(JSON.stringify([time.toISOString(), 'ffffffff-ffff-4fff-bfff-ffffffffffff'])).toString(
    'base64url',
  );
}

function pick<Word>(words: readonly Word[], turn: number): Word {
  const word = words[turn % words.length];
  if (word === undefined) throw new Error('There is nothing to pick from.');
  return word;
}
