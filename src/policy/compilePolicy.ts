import type { Json } from '../database/schema.generated.ts';
import type { Problem } from '../errors.ts';
import type { Aggregate, AlertTemplate, PolicyDocument, Rule } from './document.ts';
import type { DecisionInputs, PolicyMode } from './inputs.ts';
import type { ListLookup } from './listLookup.ts';

/** The inputs of one decision in the form that expressions read; made once, used by all policies. */
export interface PolicyBindings {
  readonly inputs: DecisionInputs;
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
  readonly rules: readonly CompiledRule[];
  /** `id`: hash of the definition without its name; policies that ask the same share it. */
  readonly aggregates: readonly { readonly id: string; readonly definition: Aggregate }[];
}

export interface CompiledRule {
  readonly rule: Rule;
  /** Of the rule. */
  readonly hash: string;
  evaluate(bindings: PolicyBindings): { readonly hit: boolean } | { readonly error: string };
  /** The values that decided, by the text that names them. */
  valuesOf(bindings: PolicyBindings): Readonly<Record<string, Json>>;
  /** The description with its values. */
  describe(bindings: PolicyBindings): string | undefined;
  alertText(
    bindings: PolicyBindings,
    template: AlertTemplate,
  ): { readonly title: string; readonly key: string | undefined };
}

/** Checks a document as a whole against what its expressions may name. Never throws. */
export function compilePolicy(
  _document: PolicyDocument,
  _at: { readonly version: number; readonly mode: PolicyMode },
): { readonly policy: CompiledPolicy } | { readonly problems: readonly Problem[] } {
  throw new Error('not built yet');
}

export function bindInputs(inputs: DecisionInputs, lists: ListLookup): PolicyBindings {
  return { inputs, lists };
}
