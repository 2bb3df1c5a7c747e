import type { CelFunc, parse } from '@bufbuild/cel';

export type ParsedExpression = ReturnType<typeof parse>;
export type Expr = ParsedExpression['expr'];

/** Types by CEL's own names; `dyn` is anything, and what is known only when the expression is evaluated. */
const typeNames = [
  'bool',
  'int',
  'uint',
  'double',
  'string',
  'bytes',
  'null_type',
  'list',
  'map',
  'type',
  'dyn',
  'google.protobuf.Timestamp',
  'google.protobuf.Duration',
] as const;
export type TypeName = (typeof typeNames)[number];

/** A record has exactly these fields: to name another one is a mistake. */
export interface RecordType {
  readonly fields: Readonly<Record<string, ExpressionType>>;
}

export type ExpressionType = TypeName | RecordType;

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
}

type Scope = ReadonlyMap<string, ExpressionType>;
type Call = Extract<Expr['exprKind'], { case: 'callExpr' }>['value'];

const numbers: ReadonlySet<ExpressionType> = new Set<ExpressionType>(['int', 'uint', 'double']);

/** Every mistake that shows without data: unknown names and fields, functions and operators that do not fit their operands. */
export function checkExpression(
  { expr, sourceInfo }: ParsedExpression,
  source: string,
  { variables, functions, result, mostNested }: Declarations,
): ExpressionProblem[] {
  const problems: ExpressionProblem[] = [];
  const byName = Map.groupBy(functions, ({ name }) => name);

  const report = (at: Expr, message: string): 'dyn' => {
    problems.push({ message, ...placeOf(source, sourceInfo?.positions[String(at.id)] ?? 0) });
    return 'dyn';
  };

  const typeOf = (at: Expr, scope: Scope, depth: number): ExpressionType => {
    if (depth > mostNested) return report(at, `nested more than ${mostNested} deep`);
    const inner = (part: Expr | undefined, wider = scope): ExpressionType =>
      part === undefined ? 'dyn' : typeOf(part, wider, depth + 1);
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
        const type = fieldOf(at, inner(operand), field);
        return testOnly ? 'bool' : type;
      }
      case 'callExpr':
        return callOf(at, exprKind.value, inner);
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
      case 'comprehensionExpr': {
        const { iterVar, iterRange, accuVar, accuInit, loopCondition, loopStep, result: outcome } = exprKind.value;
        const range = inner(iterRange);
        if (!fits(range, 'list') && !fits(range, 'map')) report(at, `a ${nameOf(range)} has no elements`);
        const accumulated = new Map(scope).set(accuVar, inner(accuInit));
        const looping = new Map(accumulated).set(iterVar, 'dyn');
        inner(loopCondition, looping);
        inner(loopStep, looping);
        return inner(outcome, accumulated);
      }
      case undefined:
        return report(at, 'is not complete');
    }
  };

  const fieldOf = (at: Expr, type: ExpressionType, field: string): ExpressionType => {
    if (typeof type === 'string') {
      return type === 'dyn' || type === 'map' ? 'dyn' : report(at, `a ${type} has no fields: ${field}`);
    }
    if (Object.hasOwn(type.fields, field)) return type.fields[field] ?? 'dyn';
    return report(at, `there is no field ${field}; there are ${Object.keys(type.fields).join(', ')}`);
  };

  const callOf = (at: Expr, call: Call, inner: (part: Expr | undefined) => ExpressionType): ExpressionType => {
    const target = call.target === undefined ? undefined : inner(call.target);
    const operands = call.args.map((arg) => inner(arg));
    const [first = 'dyn', second = 'dyn', third = 'dyn'] = operands;
    const name = call.function;
    switch (name) {
      case '_&&_':
      case '_||_':
        if (operands.every((operand) => fits(operand, 'bool'))) return 'bool';
        return report(at, mismatch(name, target, operands));
      case '_?_:_':
        if (!fits(first, 'bool')) report(at, `what comes before ? is a ${nameOf(first)}, not a bool`);
        return second === third ? second : 'dyn';
      case '_[_]':
        return fits(first, 'list') || fits(first, 'map') ? 'dyn' : report(at, `a ${nameOf(first)} has no elements`);
      case '@not_strictly_false':
        return 'bool';
      case '_==_':
      case '_!=_':
        return comparable(first, second) ? 'bool' : report(at, mismatch(name, target, operands));
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

  const type = typeOf(expr, new Map(Object.entries(variables)), 1);
  if (!fits(type, result)) report(expr, `gives a ${nameOf(type)}, not a ${result}`);
  return problems;
}

/** The line and the column of an offset; white space before the part that is meant does not count. */
export function placeOf(source: string, offset: number): { readonly line: number; readonly column: number } {
  const start = offset + (/^\s*/.exec(source.slice(offset))?.[0].length ?? 0);
  const lines = source.slice(0, start).split('\n');
  return { line: lines.length, column: (lines.at(-1)?.length ?? 0) + 1 };
}

const constantTypes: Readonly<Record<string, TypeName>> = {
  nullValue: 'null_type',
  boolValue: 'bool',
  int64Value: 'int',
  uint64Value: 'uint',
  doubleValue: 'double',
  stringValue: 'string',
  bytesValue: 'bytes',
};

function typeNamed(name: string): TypeName {
  return typeNames.find((known) => known === name) ?? 'dyn';
}

function nameOf(type: ExpressionType): TypeName {
  return typeof type === 'string' ? type : 'map';
}

function fits(type: ExpressionType, wanted: string | undefined): boolean {
  return type === 'dyn' || wanted === 'dyn' || nameOf(type) === wanted;
}

function comparable(left: ExpressionType, right: ExpressionType): boolean {
  const mayBeNull = left === 'null_type' || right === 'null_type';
  return mayBeNull || fits(left, nameOf(right)) || right === 'dyn' || (numbers.has(left) && numbers.has(right));
}

function mismatch(name: string, target: ExpressionType | undefined, operands: readonly ExpressionType[]): string {
  const given = operands.map(nameOf).join(', ');
  const operator = name.replaceAll(/[_@]/g, '');
  return target === undefined
    ? `${operator} does not take (${given})`
    : `${operator} does not take (${given}) of a ${nameOf(target)}`;
}
