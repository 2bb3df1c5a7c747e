import type { Json } from '../database/schema.generated.ts';
import type { RuleResult } from './decision.ts';
import type { Outcome } from './document.ts';
import type { Evaluation } from './evaluatePolicies.ts';

/** Of one kind of change; enough to see what it is about. */
const MOST_EXAMPLES = 20;

/** What a version said of the events so far. Numbers are of events. */
export interface BacktestReport {
  /** Those that the version applies to. */
  readonly applied: number;
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>;
  /** By rule. */
  readonly hits: Readonly<Record<string, number>>;
  /** By rule; `applies_to`: of the condition there. */
  readonly errors: Readonly<Record<string, number>>;
  /** Those on which the compared version says something else: `allow→block`. */
  readonly changes: Readonly<Record<string, number>>;
  /** The first of each change. */
  readonly examples: Readonly<Record<string, readonly BacktestExample[]>>;
  /** Those of `applied` that customer, transaction and waivers were known of as when they were decided; for the others they are as of now. */
  readonly asRecorded: number;
}

export interface BacktestExample {
  readonly eventId: string;
  /** Hits and errors of the version. */
  readonly rules: readonly {
    readonly rule: string;
    readonly result: RuleResult['result'];
    readonly values: Readonly<Record<string, Json>>;
  }[];
}

export const emptyReport: BacktestReport = {
  applied: 0,
  outcomes: {},
  hits: {},
  errors: {},
  changes: {},
  examples: {},
  asRecorded: 0,
};

/** One event, evaluated by both. */
export interface Tried {
  readonly eventId: string;
  readonly isAsRecorded: boolean;
  readonly candidate: Evaluation;
  /** Undefined: compared with having no such policy. */
  readonly compared: Evaluation | undefined;
}

/** The report with one more event in it. */
export function withEvent(
  report: BacktestReport,
  { eventId, isAsRecorded, candidate, compared }: Tried,
): BacktestReport {
  const [result] = candidate.decision.policies;
  const to = candidate.decision.outcome;
  const from = compared?.decision.outcome ?? 'allow';
  const change = from === to ? undefined : `${from}→${to}`;
  if (result === undefined && change === undefined) return report;
  const rules = result?.rules ?? [];
  const ids = (wanted: RuleResult['result']) =>
    rules.filter(({ result: came }) => came === wanted).map(({ rule }) => rule);
  return {
    applied: report.applied + (result === undefined ? 0 : 1),
    outcomes: result === undefined ? report.outcomes : counted(report.outcomes, [to]),
    hits: counted(report.hits, ids('hit')),
    errors: counted(report.errors, [...(result?.error === undefined ? [] : ['applies_to']), ...ids('error')]),
    changes: change === undefined ? report.changes : counted(report.changes, [change]),
    examples: change === undefined ? report.examples : withExample(report.examples, change, eventId, candidate),
    asRecorded: report.asRecorded + (result !== undefined && isAsRecorded ? 1 : 0),
  };
}

function counted(counts: Readonly<Record<string, number>>, names: readonly string[]): Readonly<Record<string, number>> {
  if (names.length === 0) return counts;
  const more = { ...counts };
  for (const name of names) more[name] = (more[name] ?? 0) + 1;
  return more;
}

function withExample(
  examples: BacktestReport['examples'],
  change: string,
  eventId: string,
  { decision, policies, bindings }: Evaluation,
): BacktestReport['examples'] {
  const before = examples[change] ?? [];
  if (before.length >= MOST_EXAMPLES) return examples;
  const compiled = new Map(policies.flatMap(({ rules }) => rules).map((rule) => [rule.rule.id, rule]));
  const rules = decision.policies
    .flatMap((policy) => policy.rules)
    .filter(({ result }) => result === 'hit' || result === 'error')
    .map(({ rule, result }) => ({ rule, result, values: compiled.get(rule)?.valuesOf(bindings) ?? {} }));
  return { ...examples, [change]: [...before, { eventId, rules }] };
}
