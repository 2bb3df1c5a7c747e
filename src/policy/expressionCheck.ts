import type { CelFunc, parse } from '@bufbuild/cel';
import {
  comparable,
  constantTypes,
  type ExpressionType,
  elementsOf,
  fits,
  isRecord,
  losesDigits,
  nameOf,
  type TypeName,
  typeNamed,
} from './expressionTypes.ts';

export type ParsedExpression = ReturnType<typeof parse>;
export type Expr = ParsedExpression['expr'];

/** What is wrong, and where: the line and the column count from 1. */
export interface ExpressionProblem {
  readonly message: string;
  readonly line: number;
  readonly column: number;
}

export interface Declarations {
  readonly variables: Readonly<Record<string, ExpressionType>>;
  readonly functions: Iterable<CelFunc>;
  /** What the expression must give. */
  readonly result: TypeName;
  /** Calls, fields, lists and comprehensions inside of one another. */
  readonly mostNested: number;
  /** Refuses comparisons of whole numbers with doubles: of money they would be inexact. */
  readonly exact: boolean;
  /** Why a regular expression cannot be used, if so. */
  readonly patternProblem: (pattern: string) => string | undefined;
}

type Scope = ReadonlyMap<string, ExpressionType>;
type Call = Extract<Expr['exprKind'], { case: 'callExpr' }>['value'];
type Comprehension = Extract<Expr['exprKind'], { case: 'comprehensionExpr' }>['value'];

const comparisons: ReadonlySet<string> = new Set(['_==_', '_!=_', '_<_', '_<=_', '_>_', '_>=_']);

/** Every mistake that shows without data: unknown names and fields, functions and operators that do not fit their operands. */
export function checkExpression(
  { expr, sourceInfo }: ParsedExpression,
  source: string,
  { variables, functions, result, mostNested, exact, patternProblem }: Declarations,
): ExpressionProblem[] {
  const problems: ExpressionProblem[] = [];
  const byName = Map.groupBy(functions, ({ name }) => name);

  const report = (at: Expr, message: string): 'dyn' => {
    problems.push({ message, ...placeOf(source, sourceInfo?.positions[String(at.id)] ?? 0) });
    return 'dyn';
  };

  /** The type of an expression that is used as a value. */
  const valueOf = (at: Expr | undefined, scope: Scope, depth: number): ExpressionType => {
    if (at === undefined) return 'dyn';
    const type = typeOf(at, scope, depth);
    if (isRecord(type) && type.isValue !== true)
      return report(at, `is no value; name one of its fields: ${Object.keys(type.fields).join(', ')}`);
    if (type === 'named_list') return report(at, 'can only be asked whether something is in it: x in lists.name');
    return type;
  };

  const typeOf = (at: Expr, scope: Scope, depth: number): ExpressionType => {
    if (depth > mostNested) return report(at, `nested more than ${mostNested} deep`);
    const inner = (part: Expr | undefined, wider = scope): ExpressionType => valueOf(part, wider, depth + 1);
    const { exprKind } = at;
    switch (exprKind.case) {
      case 'constExpr':
        return constantTypes[exprKind.value.constantKind.case ?? ''] ?? 'dyn';
      case 'identExpr': {
        const { name } = exprKind.value;
        return scope.get(name) ?? (typeNamed(name) === 'dyn' ? report(at, `there is no variable ${name}`) : 'type');
      }
      case 'selectExpr': {
        const { operand, field, testOnly } = exprKind.value;
        const type = fieldOf(at, operand === undefined ? 'dyn' : typeOf(operand, scope, depth + 1), field);
        return testOnly ? 'bool' : type;
      }
      case 'callExpr': {
        const { target, args, function: name } = exprKind.value;
        const [value, list] = args;
        if (name === '@in' && list !== undefined && typeOf(list, scope, depth + 1) === 'named_list') {
          const asked = inner(value);
          return fits(asked, 'string') ? 'bool' : report(at, `in lists looks up a string, not a ${nameOf(asked)}`);
        }
        return callOf(
          at,
          exprKind.value,
          target === undefined ? undefined : inner(target),
          args.map((arg) => inner(arg)),
        );
      }
      case 'listExpr':
        for (const element of exprKind.value.elements) inner(element);
        return 'list';
      case 'structExpr':
        if (exprKind.value.messageName !== '') return report(at, `there is no type ${exprKind.value.messageName}`);
        for (const { keyKind, value } of exprKind.value.entries) {
          if (keyKind.case === 'mapKey') inner(keyKind.value);
          inner(value);
        }
        return 'map';
      case 'comprehensionExpr':
        return comprehensionOf(at, exprKind.value, scope, inner);
      case undefined:
        return report(at, 'is not complete');
    }
  };

  const comprehensionOf = (
    at: Expr,
    { iterVar, iterRange, accuVar, accuInit, loopCondition, loopStep, result: outcome }: Comprehension,
    scope: Scope,
    inner: (part: Expr | undefined, wider?: Scope) => ExpressionType,
  ): ExpressionType => {
    const range = inner(iterRange);
    if (!fits(range, 'list') && !fits(range, 'map')) report(at, `a ${nameOf(range)} has no elements`);
    const accumulated = new Map(scope).set(accuVar, inner(accuInit));
    const looping = new Map(accumulated).set(iterVar, elementsOf(range));
    inner(loopCondition, looping);
    inner(loopStep, looping);
    return inner(outcome, accumulated);
  };

  const fieldOf = (at: Expr, type: ExpressionType, field: string): ExpressionType => {
    if (!isRecord(type)) {
      return type === 'dyn' || type === 'map' ? 'dyn' : report(at, `a ${nameOf(type)} has no fields: ${field}`);
    }
    if (Object.hasOwn(type.fields, field)) return type.fields[field] ?? 'dyn';
    return report(at, `there is no field ${field}; there are ${Object.keys(type.fields).join(', ')}`);
  };

  const callOf = (
    at: Expr,
    call: Call,
    target: ExpressionType | undefined,
    operands: readonly ExpressionType[],
  ): ExpressionType => {
    const [first = 'dyn', second = 'dyn', third = 'dyn'] = operands;
    const name = call.function;
    if (exact && comparisons.has(name) && losesDigits(first, second)) {
      return report(
        at,
        'compares a whole number with a double; money is whole minor units, or compareDecimals(a, "1.5")',
      );
    }
    switch (name) {
      case '_&&_':
      case '_||_':
        if (operands.every((operand) => fits(operand, 'bool'))) return 'bool';
        return report(at, mismatch(name, target, operands));
      case '_?_:_':
        if (!fits(first, 'bool')) report(at, `what comes before ? is a ${nameOf(first)}, not a bool`);
        return second === third ? second : 'dyn';
      case '_[_]':
        if (!fits(first, 'list') && !fits(first, 'map')) return report(at, `a ${nameOf(first)} has no elements`);
        return elementsOf(first);
      case '@not_strictly_false':
        return 'bool';
      case '_==_':
      case '_!=_':
        return comparable(first, second) ? 'bool' : report(at, mismatch(name, target, operands));
      case 'matches': {
        const problem = patternProblem(constantText(call.args.at(-1)) ?? '');
        if (problem !== undefined) return report(call.args.at(-1) ?? at, problem);
      }
    }
    const overloads = byName.get(name);
    if (overloads === undefined) return report(at, `there is no function ${name}`);
    const fitting = overloads.filter(
      (func) =>
        (target === undefined) === (func.target === undefined) &&
        (target === undefined || fits(target, func.target?.name)) &&
        func.arguments.length === operands.length &&
        operands.every((operand, place) => fits(operand, func.arguments[place]?.name)),
    );
    const results = new Set(fitting.map((func) => typeNamed(func.result.name)));
    const [only, ...others] = results;
    if (only === undefined) return report(at, mismatch(name, target, operands));
    return others.length === 0 ? only : 'dyn';
  };

  const type = valueOf(expr, new Map(Object.entries(variables)), 1);
  if (!fits(type, result)) report(expr, `gives a ${nameOf(type)}, not a ${result}`);
  return problems;
}

/** The line and the column of an offset; white space before the part that is meant does not count. */
export function placeOf(source: string, offset: number): { readonly line: number; readonly column: number } {
  const start = offset + (/^\s*/.exec(source.slice(offset))?.[0].length ?? 0);
  const lines = source.slice(0, start).split('\n');
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

function constantText(expr: Expr | undefined): string | undefined {
  if (expr?.exprKind.case !== 'constExpr') return undefined;
  const { constantKind } = expr.exprKind.value;
  return constantKind.case === 'stringValue' ? constantKind.value : undefined;
}

function mismatch(name: string, target: ExpressionType | undefined, operands: readonly ExpressionType[]): string {
  const given = operands.map(nameOf).join(', ');
  const operator = name.replaceAll(/[_@]/g, '');
  return target === undefined
    ? `${operator} does not take (${given})`
    : `${operator} does not take (${given}) of a ${nameOf(target)}`;
}
