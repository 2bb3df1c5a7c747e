import { type CelEnv, type CelInput, type CelResult, isCelError, plan } from '@bufbuild/cel';
import type { Expr } from './expressionCheck.ts';
import { HAS } from './expressionLowering.ts';

type Values = Readonly<Record<string, CelInput>>;

/** An expression that is ready to be evaluated. */
export type Planned = (values: Values) => CelResult;

/** The value of an operand that is a variable or a constant. */
type Operand = (values: Values) => CelInput | undefined;

/**
 * Plans a lowered expression. The library's plans are general: they find every operand by its name and every overload by
 * its types, over hundreds of objects a rule that no cache holds. What rules are mostly made of is done here: `&&`, `||`, `!`, `has`,
 * and variables compared with constants. Wherever that does not come to true or false, the library decides.
 */
export function planExpression(env: CelEnv, expr: Expr): Planned {
  const byLibrary = plan(env, expr);
  const short = shortPlan(env, expr);
  return short === undefined ? byLibrary : (values) => short(values) ?? byLibrary(values);
}

/** undefined: the library has to decide. */
type ShortPlan = (values: Values) => boolean | undefined;

function shortPlan(env: CelEnv, expr: Expr): ShortPlan | undefined {
  const { exprKind } = expr;
  if (exprKind.case !== 'callExpr') return undefined;
  const { function: name, args, target } = exprKind.value;
  const [left, right] = args;
  if (left === undefined || target !== undefined) return undefined;
  if (name === '_&&_') return decidedBy(env, args, false);
  if (name === '_||_') return decidedBy(env, args, true);
  if (name === '!_') {
    const operand = truthOf(env, left);
    return (values) => {
      const holds = operand(values);
      return holds === undefined ? undefined : !holds;
    };
  }
  if (name === HAS) {
    const path = constantOf(left);
    if (typeof path !== 'string') return undefined;
    return (values) => values[path] !== undefined && !isCelError(values[path]);
  }
  if (right === undefined) return undefined;
  return name === '@in' ? inConstants(left, right) : comparison(name, operandOf(left), operandOf(right));
}

/** One operand that is `decisive` is enough; where another one is no bool, the library says what that means. */
function decidedBy(env: CelEnv, operands: readonly Expr[], decisive: boolean): ShortPlan {
  const truths = operands.map((operand) => truthOf(env, operand));
  return (values) => {
    let isKnown = true;
    for (const truth of truths) {
      const holds = truth(values);
      if (holds === decisive) return decisive;
      if (holds === undefined) isKnown = false;
    }
    return isKnown ? !decisive : undefined;
  };
}

function truthOf(env: CelEnv, expr: Expr): ShortPlan {
  const planned = shortPlan(env, expr) ?? plan(env, expr);
  return (values) => {
    const value = planned(values);
    return typeof value === 'boolean' ? value : undefined;
  };
}

function comparison(name: string, left: Operand | undefined, right: Operand | undefined): ShortPlan | undefined {
  const compare = comparisons[name];
  if (compare === undefined || left === undefined || right === undefined) return undefined;
  return (values) => compare(left(values), right(values));
}

const comparisons: Readonly<Record<string, (left: unknown, right: unknown) => boolean | undefined>> = {
  '_==_': (left, right) => (arePlain(left, right) ? left === right : undefined),
  '_!=_': (left, right) => (arePlain(left, right) ? left !== right : undefined),
  '_<_': (left, right) => (typeof left === 'bigint' && typeof right === 'bigint' ? left < right : undefined),
  '_<=_': (left, right) => (typeof left === 'bigint' && typeof right === 'bigint' ? left <= right : undefined),
  '_>_': (left, right) => (typeof left === 'bigint' && typeof right === 'bigint' ? left > right : undefined),
  '_>=_': (left, right) => (typeof left === 'bigint' && typeof right === 'bigint' ? left >= right : undefined),
};

function arePlain(left: unknown, right: unknown): boolean {
  return (
    typeof left === typeof right && (typeof left === 'bigint' || typeof left === 'string' || typeof left === 'boolean')
  );
}

/** `x in ["GBR", "FRA"]`. */
function inConstants(left: Expr, right: Expr): ShortPlan | undefined {
  const operand = operandOf(left);
  if (operand === undefined || right.exprKind.case !== 'listExpr') return undefined;
  const constants = new Set(right.exprKind.value.elements.map(constantOf));
  if (![...constants].every((constant) => typeof constant === 'string')) return undefined;
  return (values) => {
    const value = operand(values);
    return typeof value === 'string' ? constants.has(value) : undefined;
  };
}

function operandOf(expr: Expr): Operand | undefined {
  if (expr.exprKind.case === 'identExpr') {
    const { name } = expr.exprKind.value;
    return (values) => values[name];
  }
  const constant = constantOf(expr);
  return constant === undefined ? undefined : () => constant;
}

function constantOf({ exprKind }: Expr): bigint | string | boolean | undefined {
  if (exprKind.case !== 'constExpr') return undefined;
  const { constantKind: kind } = exprKind.value;
  return kind.case === 'int64Value' || kind.case === 'stringValue' || kind.case === 'boolValue'
    ? kind.value
    : undefined;
}
