import { MoonguardError } from '../errors.ts';
import { inputError } from '../input/parseInput.ts';
import { caseInputs } from './caseInputs.ts';
import { type CompiledPolicy, compilePolicy } from './compilePolicy.ts';
import type { RuleResult } from './decision.ts';
import type { Outcome, PolicyCase, PolicyDocument } from './document.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import type { ListLookup } from './listLookup.ts';

/** What came of one of a policy's own cases. */
export interface CaseResult {
  readonly name: string;
  /** What is not as expected, in words; none: the case passed. */
  readonly problems: readonly string[];
  readonly outcome?: Outcome;
  /** Ids of the rules. */
  readonly hits: readonly string[];
  readonly errors: readonly { readonly rule: string; readonly error: string }[];
}

/**
 * Evaluates a policy on the cases of its document. Nothing is read and nothing written.
 * @throws MoonguardError policy_invalid
 */
export function runCases(document: PolicyDocument): CaseResult[] {
  const compiled = compilePolicy(document, { version: 1, mode: 'active' });
  if ('problems' in compiled) throw inputError('policy_invalid', compiled.problems);
  return (document.tests ?? []).map((given) => runCase(compiled.policy, given));
}

function runCase(policy: CompiledPolicy, given: PolicyCase): CaseResult {
  const unknown = Object.keys(given.aggregates ?? {}).filter(
    (name) => !policy.aggregates.some(({ definition }) => definition.name === name),
  );
  if (unknown.length > 0) return notRun(given, `there is no aggregate ${unknown.join(', ')}`);
  try {
    const { decision } = evaluatePolicies([policy], caseInputs(policy, given), listsOf(given));
    const rules = decision.policies.flatMap((result) => result.rules);
    const errors = decision.policies.flatMap(({ error }) =>
      error === undefined ? [] : [{ rule: 'applies_to', error }],
    );
    const found = {
      outcome: decision.outcome,
      hits: rules.filter(({ result }) => result === 'hit').map(({ rule }) => rule),
      errors: [...errors, ...rules.flatMap(errorOf)],
    };
    return { name: given.name, problems: problemsOf(given.expect, found), ...found };
  } catch (error) {
    if (error instanceof MoonguardError) return notRun(given, error.message);
    throw error;
  }
}

function notRun({ name }: PolicyCase, problem: string): CaseResult {
  return { name, problems: [problem], hits: [], errors: [] };
}

function errorOf({ rule, error }: RuleResult): CaseResult['errors'] {
  return error === undefined ? [] : [{ rule, error }];
}

/** A list that the case says nothing of is empty. */
function listsOf({ lists = {} }: PolicyCase): ListLookup {
  return { has: (list, value) => lists[list]?.includes(value) ?? false };
}

/** Hits are compared only where they are named; an error that nobody expects is always a problem. */
function problemsOf(
  expected: PolicyCase['expect'],
  { outcome, hits, errors }: Pick<CaseResult, 'outcome' | 'hits' | 'errors'>,
): string[] {
  const problems: string[] = [];
  if (outcome !== expected.outcome) problems.push(`outcome is ${outcome}, not ${expected.outcome}`);
  if (expected.hits !== undefined && !same(hits, expected.hits)) {
    problems.push(`hits are ${named(hits)}, not ${named(expected.hits)}`);
  }
  const expectedErrors = expected.errors ?? [];
  const rules = errors.map(({ rule }) => rule);
  if (!same(rules, expectedErrors)) {
    const reasons = errors.map(({ rule, error }) => `${rule}: ${error}`);
    problems.push(`errors are ${named(reasons)}, not ${named(expectedErrors)}`);
  }
  return problems;
}

const same = (one: readonly string[], other: readonly string[]): boolean =>
  one.toSorted().join() === other.toSorted().join();

const named = (rules: readonly string[]): string => (rules.length === 0 ? 'none' : rules.join(', '));
