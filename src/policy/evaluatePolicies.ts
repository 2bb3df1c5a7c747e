import { bindInputs, type CompiledPolicy, type CompiledRule, type PolicyBindings } from './compilePolicy.ts';
import type { Decision, PolicyResult, RuleResult } from './decision.ts';
import { type Outcome, type PolicyDocument, worstOutcome } from './document.ts';
import type { DecisionInputs } from './inputs.ts';
import { type ListLookup, recordingLookup } from './listLookup.ts';

type Waivers = DecisionInputs['waivers'];

/** Stands for the rule where a score came to a threshold, in approvals. No rule is called that. */
export const SCORE = '@score';

export interface Evaluation {
  readonly decision: Decision;
  /** As given, with the policies that applied and the list values that were asked for. */
  readonly inputs: DecisionInputs;
  /** Those that applied, in the order of the decision. */
  readonly policies: readonly CompiledPolicy[];
  readonly bindings: PolicyBindings;
}

/**
 * What policies say of these inputs. Pure: the same policies, inputs and lists give the same decision, in whatever order
 * the policies come. Never throws: what cannot be evaluated is an error of its rule, and an error is never a pass.
 */
export function evaluatePolicies(
  policies: readonly CompiledPolicy[],
  inputs: DecisionInputs,
  lists: ListLookup,
): Evaluation {
  const recording = recordingLookup(lists);
  const bindings = bindInputs(inputs, recording);
  const applied: CompiledPolicy[] = [];
  const results: PolicyResult[] = [];
  let outcome: Outcome = 'allow';
  for (const policy of policies.toSorted(byIdAndVersion)) {
    const applies = policy.appliesTo(bindings);
    if (applies === 'no') continue;
    const result = evaluatePolicy(policy, bindings, inputs.waivers, applies === 'yes' ? undefined : applies.error);
    applied.push(policy);
    results.push(result);
    if (policy.mode === 'active') outcome = worstOutcome(outcome, result.outcome);
  }
  return {
    decision: { outcome, policies: results },
    inputs: {
      ...inputs,
      policies: applied.map(({ document, version, mode }) => [document.id, version, mode]),
      lists: recording.answers,
    },
    policies: applied,
    bindings,
  };
}

function byIdAndVersion(one: CompiledPolicy, other: CompiledPolicy): number {
  if (one.document.id === other.document.id) return one.version - other.version;
  return one.document.id < other.document.id ? -1 : 1;
}

function evaluatePolicy(
  { document, version, mode, rules }: CompiledPolicy,
  bindings: PolicyBindings,
  waivers: Waivers,
  error: string | undefined,
): PolicyResult {
  const results: RuleResult[] = [];
  const stopsAtFirst = document.evaluation?.mode === 'first';
  let isDecided = false;
  for (const rule of rules) {
    const result = isDecided ? skipped(rule) : evaluateRule(rule, document, bindings, waivers);
    results.push(result);
    if (stopsAtFirst && result.result !== 'no_hit') isDecided = true;
  }
  const verdict = verdictOf(document, results, waivers);
  // Mostly in the order of the canonical text.
  return {
    mode,
    ...verdict,
    ...(error !== undefined && { error, outcome: worstOutcome(verdict.outcome, document.on_error ?? 'review') }),
    policy: document.id,
    rules: results,
    version,
  };
}

const skipped = ({ rule }: CompiledRule): RuleResult => ({ rule: rule.id, result: 'skipped' });

function evaluateRule(
  compiled: CompiledRule,
  document: PolicyDocument,
  bindings: PolicyBindings,
  waivers: Waivers,
): RuleResult {
  const { rule } = compiled;
  const evaluated = compiled.evaluate(bindings);
  if ('error' in evaluated) {
    return {
      rule: rule.id,
      result: 'error',
      outcome: rule.on_error ?? document.on_error ?? 'review',
      error: evaluated.error,
    };
  }
  if (!evaluated.hit) return compiled.noHit;
  const waiver = waiverOf(waivers, document, rule.id);
  if (waiver !== undefined) return { rule: rule.id, result: 'hit', outcome: 'allow', waived_by: waiver.id };
  if (rule.score !== undefined) return { rule: rule.id, result: 'hit', score: rule.score };
  return { rule: rule.id, result: 'hit', outcome: rule.outcome ?? 'review' };
}

/** The exception or granted approval that lets a hit of the rule have no effect. */
function waiverOf(waivers: Waivers, { id }: PolicyDocument, ruleId: string) {
  return waivers.find(({ policy, rule }) => policy === id && (rule === null || rule === ruleId));
}

function verdictOf(
  document: PolicyDocument,
  results: readonly RuleResult[],
  waivers: Waivers,
): Pick<PolicyResult, 'outcome' | 'score' | 'waived_by'> {
  const evaluation = document.evaluation ?? { mode: 'any' };
  const errors = results.filter(({ result }) => result === 'error');
  switch (evaluation.mode) {
    case 'any':
    case 'first':
      return { outcome: worstOf(results) };
    case 'all':
      if (errors.length > 0) return { outcome: worstOf(errors) };
      return { outcome: allHit(results) ? worstOf(results) : 'allow' };
    case 'score': {
      const score = results.reduce((sum, result) => sum + (result.score ?? 0), 0);
      const reached = reachedThreshold(document, score)?.outcome ?? 'allow';
      const waiver = reached === 'allow' ? undefined : waiverOf(waivers, document, SCORE);
      const outcome = worstOutcome(waiver === undefined ? reached : 'allow', worstOf(errors));
      return { outcome, score, ...(waiver !== undefined && { waived_by: waiver.id }) };
    }
  }
}

/** Whether the rules of a policy in mode `all` hit together. */
export function allHit(results: readonly RuleResult[]): boolean {
  return results.every(({ result }) => result === 'hit');
}

/** The highest threshold that a score comes to. */
export function reachedThreshold({ evaluation }: PolicyDocument, score: number) {
  if (evaluation?.mode !== 'score') return undefined;
  return evaluation.thresholds.reduce<(typeof evaluation.thresholds)[number] | undefined>(
    (highest, threshold) => (threshold.at <= score && threshold.at >= (highest?.at ?? 0) ? threshold : highest),
    undefined,
  );
}

const worstOf = (results: readonly RuleResult[]): Outcome =>
  results.reduce<Outcome>((worst, { outcome }) => worstOutcome(worst, outcome ?? 'allow'), 'allow');
