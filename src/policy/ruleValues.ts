import { unparse } from '@bufbuild/cel';
import type { Json } from '../database/schema.generated.ts';
import { celJson } from './celJson.ts';
import type { Bindings, Evaluate, Expression } from './expression.ts';
import type { Expr } from './expressionCheck.ts';
import { type Locals, mapParts } from './expressionParts.ts';
import { typeNamed } from './expressionTypes.ts';
import type { ListLookup } from './listLookup.ts';

/** The values that a rule looked at, by the text that names them; null: absent. */
export type RuleValues = Readonly<Record<string, Json>>;

/** A value that a condition refers to: a field, `has` of one, `in` of a list. */
interface Reference {
  readonly text: string;
  readonly evaluate: Evaluate;
}

/** An expression as a tree of what decides: `&&`, `||`, `!` and `?:`, and the operands between them. */
type Condition =
  | { readonly kind: 'operand'; readonly evaluate: Evaluate; readonly references: readonly Reference[] }
  | { readonly kind: 'all' | 'any' | 'not' | 'choice'; readonly operands: readonly Condition[] };

const kindOfFunction: ReadonlyMap<string, 'all' | 'any' | 'not' | 'choice'> = new Map([
  ['_&&_', 'all'],
  ['_||_', 'any'],
  ['!_', 'not'],
  ['_?_:_', 'choice'],
]);

/** What a condition came to (undefined: an error), and the references of the operands that made it so. */
interface Explained {
  readonly holds: boolean | undefined;
  readonly references: readonly Reference[];
}

/**
 * Of an expression that gives a bool, the values that decided: where `a || b` holds, those of the operands that hold; where
 * `a && b` does not, those of the ones that do not.
 */
export function ruleValues({ expr, part }: Expression): (bindings: Bindings, lists: ListLookup) => RuleValues {
  let condition: Condition | undefined;
  return (bindings, lists) => {
    // Many rules are never asked for theirs.
    condition ??= conditionOf(expr, part);
    const values: Record<string, Json> = {};
    for (const { text, evaluate } of explain(condition, bindings, lists).references) {
      const evaluated = evaluate(bindings, lists);
      values[text] = 'error' in evaluated ? null : celJson(evaluated.value);
    }
    return values;
  };
}

function conditionOf(expr: Expr, part: Expression['part']): Condition {
  const { exprKind } = expr;
  const kind = exprKind.case === 'callExpr' ? kindOfFunction.get(exprKind.value.function) : undefined;
  if (exprKind.case === 'callExpr' && kind !== undefined) {
    return { kind, operands: exprKind.value.args.map((operand) => conditionOf(operand, part)) };
  }
  const references = referencesIn(expr).map((named) => ({ text: unparse(named), evaluate: part(named) }));
  return { kind: 'operand', evaluate: part(expr), references };
}

function explain(condition: Condition, bindings: Bindings, lists: ListLookup): Explained {
  if (condition.kind === 'operand') {
    const evaluated = condition.evaluate(bindings, lists);
    const holds = 'value' in evaluated && typeof evaluated.value === 'boolean' ? evaluated.value : undefined;
    return { holds, references: condition.references };
  }
  const operands = condition.operands.map((operand) => explain(operand, bindings, lists));
  const [test, then, otherwise] = operands;
  switch (condition.kind) {
    case 'all':
      return decidedBy(operands, false);
    case 'any':
      return decidedBy(operands, true);
    case 'not':
      return { holds: test?.holds === undefined ? undefined : !test.holds, references: referencesOf([test]) };
    case 'choice': {
      const chosen = test?.holds === undefined ? undefined : test.holds ? then : otherwise;
      return { holds: chosen?.holds, references: referencesOf([test, chosen]) };
    }
  }
}

/** One operand that is `decisive` is enough; else an error decides; else all of them do. */
function decidedBy(operands: readonly Explained[], decisive: boolean): Explained {
  for (const holds of [decisive, undefined]) {
    const deciding = operands.filter((operand) => operand.holds === holds);
    if (deciding.length > 0) return { holds, references: referencesOf(deciding) };
  }
  return { holds: !decisive, references: referencesOf(operands) };
}

function referencesOf(explained: readonly (Explained | undefined)[]): Reference[] {
  return explained.flatMap((part) => part?.references ?? []);
}

/** The largest parts that name a value of the inputs. Comprehensions are told by what they run through. */
function referencesIn(expr: Expr): Expr[] {
  const found: Expr[] = [];
  const visit = (at: Expr, locals: Locals): Expr => {
    const root = rootOf(at);
    if (root !== undefined) {
      if (root !== 'lists' && !locals.has(root) && typeNamed(root) === 'dyn') found.push(at);
      return at;
    }
    const { exprKind } = at;
    if (exprKind.case === 'callExpr' && exprKind.value.function === '@in' && locals.size === 0) {
      const [, list] = exprKind.value.args;
      if (list !== undefined && rootOf(list) === 'lists') found.push(at);
    }
    mapParts(exprKind, locals, visit);
    return at;
  };
  visit(expr, new Set());
  return found;
}

/** Of `event.fiat.minor` or `has(event.fiat)`, `event`. */
function rootOf({ exprKind }: Expr): string | undefined {
  if (exprKind.case === 'identExpr') return exprKind.value.name;
  return exprKind.case === 'selectExpr' && exprKind.value.operand !== undefined
    ? rootOf(exprKind.value.operand)
    : undefined;
}
