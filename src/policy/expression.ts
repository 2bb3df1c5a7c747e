import { type CelInput, type CelValue, celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import { z } from 'zod';
import { type Budget, chargedFunctions, RANGE } from './expressionBudget.ts';
import {
  checkExpression,
  type Expr,
  type ExpressionProblem,
  type ExpressionType,
  placeOf,
  type TypeName,
} from './expressionCheck.ts';

export interface ExpressionOptions {
  /** The names an expression may use. */
  readonly variables: Readonly<Record<string, ExpressionType>>;
  /** What it must give. */
  readonly result: TypeName;
  /** Longest source, in characters. */
  readonly mostCharacters?: number;
  /** Calls, fields, lists and comprehensions inside of one another. */
  readonly mostNested?: number;
  /** Work of one evaluation, in steps of 1 to 10 µs: a call, an element of a list, 64 characters of a text. */
  readonly mostSteps?: number;
}

export type Evaluated = { readonly value: CelValue } | { readonly error: string };

/** Values of the variables: numbers are doubles, bigints ints; objects must be Maps. */
export type Bindings = Readonly<Record<string, CelInput>>;

export type CompiledExpression =
  | { readonly evaluate: (bindings: Bindings) => Evaluated }
  | { readonly problems: readonly ExpressionProblem[] };

/** Turns sources in CEL (https://cel.dev) into functions. Never throws. */
export type CompileExpression = (source: string) => CompiledExpression;

/** An environment for expressions: what they may name, what they must give, and what they may cost. */
export function expressionEnvironment({
  variables,
  result,
  mostCharacters = 4096,
  mostNested = 64,
  mostSteps = 10_000,
}: ExpressionOptions): CompileExpression {
  // Evaluations never overlap: they do not wait for anything.
  const budget: Budget = { left: 0 };
  const env = celEnv({ funcs: chargedFunctions(budget) });
  const declarations = { variables, functions: env.funcs, result, mostNested };

  return (source) => {
    if (source.length > mostCharacters) {
      return { problems: [{ message: `longer than ${mostCharacters} characters`, line: 1, column: 1 }] };
    }
    let evaluate: ReturnType<typeof plan>;
    try {
      const parsed = parse(source);
      const problems = checkExpression(parsed, source, declarations);
      if (problems.length > 0) return { problems };
      evaluate = plan(env, chargeRanges(parsed.expr));
    } catch (error) {
      return { problems: [problemOf(error, source)] };
    }
    return {
      evaluate: (bindings) => {
        budget.left = mostSteps;
        const value = evaluate(bindings);
        return isCelError(value) ? { error: value.message } : { value };
      },
    };
  };
}

/** Puts {@link RANGE} around what comprehensions run through: the library has no limit of its own for them. */
function chargeRanges(expr: Expr): Expr {
  for (const part of partsOf(expr)) if (part !== undefined) chargeRanges(part);
  const { exprKind } = expr;
  if (exprKind.case === 'comprehensionExpr' && exprKind.value.iterRange !== undefined) {
    const { iterRange } = exprKind.value;
    const call = { $typeName: 'cel.expr.Expr.Call' as const, function: RANGE, args: [iterRange] };
    exprKind.value.iterRange = {
      $typeName: 'cel.expr.Expr',
      id: iterRange.id,
      exprKind: { case: 'callExpr', value: call },
    };
  }
  return expr;
}

function partsOf({ exprKind }: Expr): readonly (Expr | undefined)[] {
  switch (exprKind.case) {
    case 'selectExpr':
      return [exprKind.value.operand];
    case 'callExpr':
      return [exprKind.value.target, ...exprKind.value.args];
    case 'listExpr':
      return exprKind.value.elements;
    case 'structExpr':
      return exprKind.value.entries.flatMap(({ keyKind, value }) => [
        keyKind.case === 'mapKey' ? keyKind.value : undefined,
        value,
      ]);
    case 'comprehensionExpr': {
      const { accuInit, iterRange, loopCondition, loopStep, result } = exprKind.value;
      return [accuInit, iterRange, loopCondition, loopStep, result];
    }
    case 'constExpr':
    case 'identExpr':
    case undefined:
      return [];
  }
}

/** What the parser throws where it stops. */
const syntaxError = z.object({ location: z.object({ start: z.object({ offset: z.number() }) }) });

function problemOf(error: unknown, source: string): ExpressionProblem {
  const said = error instanceof Error ? error.message : String(error);
  // The parser repeats the place, and goes on with everything that could have stood there.
  const message = said.replace(/^.*?<input>:\d+:\d+: /, '').replace(/ but expecting .*$/s, '');
  return { message, ...placeOf(source, syntaxError.safeParse(error).data?.location.start.offset ?? 0) };
}
