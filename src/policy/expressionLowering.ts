import type { Expr } from './expressionCheck.ts';
import { type Kind, type Locals, mapParts } from './expressionParts.ts';
import { type ExpressionType, isRecord } from './expressionTypes.ts';

/** Functions that an expression is given when it is compiled; no source can name them. */
export const RANGE = '@range';
export const HAS = '@has';
export const IN_LIST = '@in_list';

type Variables = Readonly<Record<string, ExpressionType>>;

/**
 * Prepares a checked expression for the planner: a field of a record becomes one variable, `event.fiat.minor`, which costs
 * one look-up where the planner's own way over namespaces and maps takes microseconds; `has` of a field and `in` of a named
 * list become calls; what comprehensions run through is charged for.
 */
export function lowerExpression(expr: Expr, variables: Variables, nameAs: (path: string) => string): Expr {
  const lower = (at: Expr, locals: Locals): Expr => {
    const place = placeIn(at, variables, locals);
    if (place !== undefined) return { ...at, exprKind: ident(nameAs(place.path)) };
    const { exprKind } = at;
    if (exprKind.case === 'selectExpr' && exprKind.value.testOnly && exprKind.value.operand !== undefined) {
      const record = placeIn(exprKind.value.operand, variables, locals);
      if (isRecord(record?.type)) {
        return { ...at, exprKind: call(HAS, [text(at, nameAs(`${record.path}.${exprKind.value.field}`))]) };
      }
    }
    if (exprKind.case === 'callExpr' && exprKind.value.function === '@in') {
      const [value, list] = exprKind.value.args;
      const named = list === undefined ? undefined : placeIn(list, variables, locals);
      if (value !== undefined && list !== undefined && named?.type === 'named_list') {
        const name = named.path.slice(named.path.lastIndexOf('.') + 1);
        return { ...at, exprKind: call(IN_LIST, [lower(value, locals), text(list, name)]) };
      }
    }
    return { ...at, exprKind: chargeRange(mapParts(exprKind, locals, lower)) };
  };
  return lower(expr, new Set());
}

/** The field of a record that an expression names, or the record itself. */
function placeIn(
  { exprKind }: Expr,
  variables: Variables,
  locals: Locals,
): { readonly path: string; readonly type: ExpressionType } | undefined {
  if (exprKind.case === 'identExpr') {
    const { name } = exprKind.value;
    const type = locals.has(name) || !Object.hasOwn(variables, name) ? undefined : variables[name];
    return type === undefined ? undefined : { path: name, type };
  }
  if (exprKind.case !== 'selectExpr' || exprKind.value.testOnly || exprKind.value.operand === undefined)
    return undefined;
  const parent = placeIn(exprKind.value.operand, variables, locals);
  if (!isRecord(parent?.type)) return undefined;
  const type = parent.type.fields[exprKind.value.field];
  return type === undefined ? undefined : { path: `${parent.path}.${exprKind.value.field}`, type };
}

/** The library has no limit of its own for what comprehensions run through. */
function chargeRange(kind: Kind): Kind {
  if (kind.case !== 'comprehensionExpr' || kind.value.iterRange === undefined) return kind;
  const { iterRange } = kind.value;
  const charged = { ...iterRange, exprKind: call(RANGE, [iterRange]) };
  return { case: kind.case, value: { ...kind.value, iterRange: charged } };
}

function ident(name: string): Kind {
  return { case: 'identExpr', value: { $typeName: 'cel.expr.Expr.Ident', name } };
}

function call(name: string, args: Expr[]): Kind {
  return { case: 'callExpr', value: { $typeName: 'cel.expr.Expr.Call', function: name, args } };
}

function text(at: Expr, value: string): Expr {
  const constant = { $typeName: 'cel.expr.Constant' as const, constantKind: { case: 'stringValue' as const, value } };
  return { ...at, exprKind: { case: 'constExpr', value: constant } };
}
