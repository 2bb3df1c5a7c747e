import type { Json } from '../database/schema.generated.ts';
import type { DecisionSummary, PolicySummary } from './decisionRows.ts';
import type { Outcome } from './document.ts';
import type { PolicyMode } from './inputs.ts';
import type { RuleValues } from './ruleValues.ts';

/** Why a decision came out as it did: the policies with a hit or an error. */
export interface Explanation {
  readonly outcome: Outcome;
  readonly policies: readonly ExplainedPolicy[];
  /** The same in words: first the outcome, then each reason. */
  readonly sentences: readonly string[];
}

export interface ExplainedPolicy {
  readonly policy: string;
  readonly name: string;
  readonly version: number;
  /** shadow: on trial, without effect. */
  readonly mode: PolicyMode;
  readonly outcome: Outcome;
  readonly score?: number | undefined;
  /** The exception or approval that leaves the score without effect. */
  readonly waivedBy?: string | undefined;
  readonly rules: readonly ExplainedRule[];
}

export interface ExplainedRule {
  readonly rule: string;
  /** The policy's own words, with the values in them. */
  readonly description: string | undefined;
  /** The expression. */
  readonly source: string | undefined;
  /** What made it hit. */
  readonly values: RuleValues;
  /** undefined: it adds to a score. */
  readonly outcome?: Outcome | undefined;
  readonly score?: number | undefined;
  readonly error?: string | undefined;
  /** The exception or approval that leaves the hit without effect. */
  readonly waivedBy?: string | undefined;
}

/** The row of a rule, on its way into the log or out of it. */
export interface RuleRow {
  readonly policyId: string;
  readonly policyName?: string | null | undefined;
  readonly policyVersion?: number | null | undefined;
  readonly ruleConditions?: unknown;
  readonly reason?: string | null | undefined;
}

/** @param rows of the rules of the decision that the summary is of, in any order; others are passed over */
export function explain(summary: DecisionSummary, rows: readonly RuleRow[]): Explanation {
  const byRule = new Map(rows.map((row) => [ruleKey(row.policyId, row.policyVersion, conditionsOf(row).rule), row]));
  const policies = summary.policies.map((policy) => explainPolicy(policy, byRule));
  return {
    outcome: summary.outcome,
    policies,
    sentences: [outcomeSentences[summary.outcome], ...policies.flatMap(sentencesOf)],
  };
}

function ruleKey(policy: string, version: number | null | undefined, rule: string | undefined): string {
  return `${policy} ${version} ${rule}`;
}

/** What `decisionRows` puts there. */
function conditionsOf({ ruleConditions }: RuleRow): { readonly rule?: string; readonly source?: string } {
  return ruleConditions ?? {};
}

function explainPolicy(summary: PolicySummary, rows: ReadonlyMap<string, RuleRow>): ExplainedPolicy {
  const { policy, version, mode, outcome, score, waived_by, hits, errors } = summary;
  const rowOf = (rule: string) => rows.get(ruleKey(policy, version, rule));
  const rules = [...hits, ...errors.map((error) => ({ ...error, values: {} }))].map((told): ExplainedRule => {
    const row = rowOf(told.rule);
    return {
      rule: told.rule,
      description: row?.reason ?? undefined,
      source: row && conditionsOf(row).source,
      values: told.values,
      outcome: told.outcome,
      score: told.score,
      error: told.error,
      waivedBy: told.waived_by,
    };
  });
  const [name = policy] = rules.flatMap(({ rule }) => rowOf(rule)?.policyName ?? []);
  return { policy, name, version, mode, outcome, score, waivedBy: waived_by, rules };
}

const outcomeSentences: Readonly<Record<Outcome, string>> = {
  allow: 'Allowed.',
  review: 'To be reviewed.',
  approval_required: 'Needs the approval of another person.',
  block: 'Blocked.',
};

const outcomeWords: Readonly<Record<Outcome, string>> = {
  allow: 'allows it',
  review: 'asks for a review',
  approval_required: 'asks for an approval',
  block: 'blocks it',
};

function sentencesOf(policy: ExplainedPolicy): string[] {
  const { name, mode, outcome, score, waivedBy } = policy;
  const trial = mode === 'shadow' ? 'On trial, without effect: ' : '';
  const sentences = policy.rules.map((rule) => `${trial}${ruleSentence(name, rule)}`);
  if (score !== undefined) {
    sentences.push(`${trial}${name} comes to a score of ${score} and ${outcomeWords[outcome]}${waiver(waivedBy)}.`);
  }
  return sentences;
}

function ruleSentence(name: string, rule: ExplainedRule): string {
  const { outcome = 'allow', score, error, waivedBy } = rule;
  if (error !== undefined) {
    return `${name} ${outcomeWords[outcome]}: its rule ${rule.rule} could not be evaluated (${withoutStop(error)}).`;
  }
  const says = score === undefined ? outcomeWords[outcome] : `adds ${score} to the score`;
  return `${name} ${says}: ${withoutStop(rule.description ?? valuesSentence(rule))}${waiver(waivedBy)}.`;
}

function valuesSentence({ rule, values }: ExplainedRule): string {
  const named = Object.entries(values).map(([path, value]) => `${path} is ${words(value)}`);
  return named.length === 0 ? `the rule ${rule} is met` : `the rule ${rule} is met, for ${named.join(' and ')}`;
}

const words = (value: Json): string => (typeof value === 'string' ? value : JSON.stringify(value));

const waiver = (id: string | undefined): string => (id === undefined ? '' : `, waived by ${id}`);

const withoutStop = (text: string): string => text.trim().replace(/\.$/, '');
