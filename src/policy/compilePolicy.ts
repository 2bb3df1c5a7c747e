import type { Problem } from '../errors.ts';
import { hashOf, writtenOnce } from './canonicalJson.ts';
import type { RuleResult } from './decision.ts';
import type { Aggregate, AlertTemplate, PolicyDocument, Rule } from './document.ts';
import { type Bindings, type CompileExpression, type Expression, expressionEnvironment } from './expression.ts';
import type { DecisionInputs, PolicyMode } from './inputs.ts';
import type { ListLookup } from './listLookup.ts';
import { isForInputs } from './policyApplies.ts';
import { aggregatePath, bindInputsByPath, eventVariables, policyVariables } from './policyVariables.ts';
import { type RuleValues, ruleValues } from './ruleValues.ts';
import { compileTemplate, type TextTemplate } from './textTemplate.ts';

/** The inputs of one decision in the form that expressions read; made once, used by all policies. */
export interface PolicyBindings {
  readonly inputs: DecisionInputs;
  readonly values: Bindings;
  readonly lists: ListLookup;
}

export interface CompiledPolicy {
  readonly document: PolicyDocument;
  readonly version: number;
  /** Of the document. */
  readonly hash: string;
  readonly mode: PolicyMode;
  /** By event name, environment, country, time and `applies_to.when`. */
  readonly appliesTo: (bindings: PolicyBindings) => 'yes' | 'no' | { readonly error: string };
  /** Whether {@link appliesTo} looks at nothing but the event and the time. */
  readonly asksOnlyEvent: boolean;
  readonly rules: readonly CompiledRule[];
  /** `id`: of the definition without its name; policies that ask the same share it. */
  readonly aggregates: readonly PolicyAggregate[];
}

export interface PolicyAggregate {
  readonly id: string;
  readonly definition: Aggregate;
}

export interface CompiledRule {
  readonly rule: Rule;
  /** Of the rule. */
  readonly hash: string;
  /** What nearly every evaluation comes to. */
  readonly noHit: RuleResult;
  evaluate(bindings: PolicyBindings): { readonly hit: boolean } | { readonly error: string };
  /** The values that decided, by the text that names them. */
  valuesOf(bindings: PolicyBindings): RuleValues;
  /** The description with its values. */
  describe(bindings: PolicyBindings): string | undefined;
  alertText(
    bindings: PolicyBindings,
    template: AlertTemplate,
  ): { readonly title: string; readonly key: string | undefined };
}

/** Checks a document as a whole against what its expressions may name. Never throws. */
export function compilePolicy(
  document: PolicyDocument,
  { version, mode }: { readonly version: number; readonly mode: PolicyMode },
): { readonly policy: CompiledPolicy } | { readonly problems: readonly Problem[] } {
  const aggregates = (document.aggregates ?? []).map((definition) => ({ id: aggregateId(definition), definition }));
  const compiler = new PolicyCompiler(document, aggregates);
  const when = compiler.condition('applies_to.when', document.applies_to.when ?? 'true');
  const rules = document.rules.flatMap((rule, place) => compileRule(rule, `rules.${place}`, compiler) ?? []);
  if (document.evaluation?.mode === 'score') {
    for (const [place, threshold] of document.evaluation.thresholds.entries()) {
      compiler.texts(`evaluation.thresholds.${place}`, threshold);
    }
  }
  if (when === undefined || compiler.problems.length > 0) return { problems: compiler.problems };

  const policy: CompiledPolicy = {
    document,
    version,
    hash: hashOf(document),
    mode,
    appliesTo: (bindings) => {
      if (!isForInputs(document, bindings.inputs)) return 'no';
      const applies = compiler.holds(when, bindings);
      return 'error' in applies ? applies : applies.hit ? 'yes' : 'no';
    },
    asksOnlyEvent: document.applies_to.when === undefined || asksOnlyEvent(document.applies_to.when),
    rules,
    aggregates,
  };
  return { policy };
}

export function bindInputs(inputs: DecisionInputs, lists: ListLookup): PolicyBindings {
  return { inputs, values: bindInputsByPath(inputs), lists };
}

/** Compiles the parts of one document and collects what is wrong with them. */
class PolicyCompiler {
  readonly problems: Problem[] = [];
  readonly #compileCondition: CompileExpression;
  readonly #compileValue: CompileExpression;
  readonly #templates = new Map<string, TextTemplate>();
  readonly #aggregates: readonly PolicyAggregate[];

  constructor({ lists = [] }: PolicyDocument, aggregates: readonly PolicyAggregate[]) {
    this.#aggregates = aggregates;
    const variables = policyVariables(
      aggregates.map(({ definition }) => definition),
      lists,
    );
    const paths = new Map(
      aggregates.map(({ id, definition }) => [`aggregates.${definition.name}`, aggregatePath(id, definition)]),
    );
    const options = { variables, exact: true, nameAs: (path: string) => paths.get(path) ?? path };
    this.#compileCondition = expressionEnvironment({ ...options, result: 'bool' });
    this.#compileValue = expressionEnvironment({ ...options, result: 'dyn' });
  }

  condition(field: string, source: string): Expression | undefined {
    const compiled = this.#compileCondition(source);
    if (!('problems' in compiled)) return compiled;
    for (const { message, line, column } of compiled.problems) {
      this.problems.push({
        code: 'expression',
        field,
        message: `${message} (line ${line}, column ${column} of the expression)`,
      });
    }
    return undefined;
  }

  /** The texts with values in them. */
  texts(field: string, { alert, description }: Pick<Rule, 'alert' | 'description'>): void {
    const texts = { description, 'alert.title': alert?.title, 'alert.key': alert?.key };
    for (const [name, text] of Object.entries(texts)) {
      if (text === undefined) continue;
      const compiled = compileTemplate(text, this.#compileValue);
      if ('template' in compiled) {
        this.#templates.set(text, compiled.template);
      } else {
        for (const message of compiled.problems) {
          this.problems.push({ code: 'expression', field: `${field}.${name}`, message });
        }
      }
    }
  }

  holds(
    condition: Expression,
    { values, lists }: PolicyBindings,
  ): { readonly hit: boolean } | { readonly error: string } {
    const evaluated = condition.evaluate(values, lists);
    if ('error' in evaluated) return { error: this.#withNames(evaluated.error) };
    const { value } = evaluated;
    return typeof value === 'boolean' ? { hit: value } : { error: `gives a ${typeof value}, not a bool` };
  }

  /** Bindings are shared by policies, which name the same aggregate differently. */
  #withNames(error: string): string {
    return this.#aggregates.reduce(
      (text, { id, definition: { name } }) => text.replaceAll(`aggregates.${id}`, `aggregates.${name}`),
      error,
    );
  }

  write(text: string, { values }: PolicyBindings): string {
    return this.#templates.get(text)?.(values) ?? text;
  }
}

function compileRule(rule: Rule, field: string, compiler: PolicyCompiler): CompiledRule | undefined {
  const condition = compiler.condition(`${field}.when`, rule.when);
  compiler.texts(field, rule);
  if (condition === undefined) return undefined;
  const valuesOf = ruleValues(condition);
  const { description } = rule;
  return {
    rule,
    hash: hashOf(rule),
    noHit: writtenOnce({ rule: rule.id, result: 'no_hit' }),
    evaluate: (bindings) => compiler.holds(condition, bindings),
    valuesOf: ({ values, lists }) => valuesOf(values, lists),
    describe: (bindings) => (description === undefined ? undefined : compiler.write(description, bindings)),
    alertText: (bindings, { title, key }) => ({
      title: compiler.write(title, bindings),
      key: key === undefined ? undefined : fittingKey(compiler.write(key, bindings)),
    }),
  };
}

/** An index takes keys of 500 characters; what stands around ours is shorter than 100. */
const LONGEST_KEY = 400;

function fittingKey(key: string): string {
  return key.length > LONGEST_KEY ? hashOf(key) : key;
}

function aggregateId(aggregate: Aggregate): string {
  return hashOf({ ...aggregate, name: undefined }).slice(0, 16);
}

const compileForEvent = expressionEnvironment({ variables: eventVariables, result: 'bool' });

function asksOnlyEvent(source: string): boolean {
  return !('problems' in compileForEvent(source));
}
