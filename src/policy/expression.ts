import { type CelInput, type CelValue, celEnv, celError, isCelError, parse, plan } from '@bufbuild/cel';
import { z } from 'zod';
import { Budget, matchingSteps } from './expressionBudget.ts';
import { checkExpression, type Expr, type ExpressionProblem, placeOf } from './expressionCheck.ts';
import { chargedFunctions, type Evaluation, signatures } from './expressionFunctions.ts';
import { lowerExpression } from './expressionLowering.ts';
import { planExpression } from './expressionPlan.ts';
import { type ExpressionType, isRecord, type TypeName } from './expressionTypes.ts';
import type { ListLookup } from './listLookup.ts';

export interface ExpressionOptions {
  /** The names an expression may use. */
  readonly variables: Readonly<Record<string, ExpressionType>>;
  /** What it must give. */
  readonly result: TypeName;
  /** Whether whole numbers may not be compared with doubles. */
  readonly exact?: boolean;
  /** Under which name the bindings have a field; default: its path. */
  readonly nameAs?: (path: string) => string;
  /** Longest source, in characters. */
  readonly mostCharacters?: number;
  /** Calls, fields, lists and comprehensions inside of one another. */
  readonly mostNested?: number;
}

export type Evaluated = { readonly value: CelValue } | { readonly error: string };

/**
 * The values by path: of a record each of its fields, and the record itself as `true` where it is there at all. Numbers
 * are doubles, bigints ints; objects must be Maps.
 */
export type Bindings = Readonly<Record<string, CelInput>>;

export type Evaluate = (bindings: Bindings, lists?: ListLookup) => Evaluated;

export interface Expression {
  readonly evaluate: Evaluate;
  /** The expression as it was parsed. */
  readonly expr: Expr;
  /** A part of `expr` that stands outside of comprehensions, as an expression of its own. */
  readonly part: (expr: Expr) => Evaluate;
}

export type CompiledExpression = Expression | { readonly problems: readonly ExpressionProblem[] };

/** Turns sources in CEL (https://cel.dev) into functions. Never throws. */
export type CompileExpression = (source: string) => CompiledExpression;

/** Work of one evaluation, in steps of 1 to 10 µs: a call, an element of a list, 64 characters of a text. */
const MOST_STEPS = 10_000;
/** A regular expression must be affordable on a text of as many characters. */
const MATCHED_CHARACTERS = 256;

const evaluation: Evaluation = { budget: new Budget(), values: {}, lists: undefined };
const env = celEnv({ funcs: chargedFunctions(evaluation) });

/** An environment for expressions: what they may name, what they must give, and what they may cost. */
export function expressionEnvironment({
  variables,
  result,
  exact = false,
  nameAs = (path) => path,
  mostCharacters = 4096,
  mostNested = 64,
}: ExpressionOptions): CompileExpression {
  const declarations = { variables, functions: signatures, result, mostNested, exact, patternProblem };
  const part = (expr: Expr): Evaluate => {
    const planned = planExpression(env, lowerExpression(expr, variables, nameAs));
    return (bindings, lists) => {
      evaluation.budget.begin(MOST_STEPS);
      evaluation.values = bindings;
      evaluation.lists = lists;
      const value = planned(bindings);
      return isCelError(value) ? { error: value.message } : { value };
    };
  };

  return (source) => {
    if (source.length > mostCharacters) {
      return { problems: [{ message: `longer than ${mostCharacters} characters`, line: 1, column: 1 }] };
    }
    try {
      const parsed = parse(source);
      const problems = checkExpression(parsed, source, declarations);
      return problems.length > 0 ? { problems } : { evaluate: part(parsed.expr), expr: parsed.expr, part };
    } catch (error) {
      return { problems: [problemOf(error, source)] };
    }
  };
}

/** What every path of the variables is bound to until a value is: reading it is an error that names it. */
export function absentValues(variables: Readonly<Record<string, ExpressionType>>): Bindings {
  const values: Record<string, CelInput> = Object.create(null);
  const add = (fields: Readonly<Record<string, ExpressionType>>, prefix: string): void => {
    for (const [name, type] of Object.entries(fields)) {
      const path = `${prefix}${name}`;
      values[path] = absentValue(path);
      if (isRecord(type)) add(type.fields, `${path}.`);
    }
  };
  add(variables, '');
  return values;
}

/** In the place of a value that is not there. */
export function absentValue(path: string, reason?: string): CelInput {
  const error = celError(reason === undefined ? `${path} is absent` : `${path} is absent: ${reason}`);
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- the planner passes on an error wherever it meets one
  return error as unknown as CelInput;
}

function patternProblem(pattern: string): string | undefined {
  const steps = matchingSteps(MATCHED_CHARACTERS, pattern);
  if (steps > MOST_STEPS) return 'the regular expression would take too many steps';
  const matched = matcher({ pattern });
  return isCelError(matched) ? `the regular expression is refused: ${matched.message}` : undefined;
}
const matcher = plan(celEnv(), parse('"".matches(pattern)'));

/** What the parser throws where it stops. */
const syntaxError = z.object({ location: z.object({ start: z.object({ offset: z.number() }) }) });

function problemOf(error: unknown, source: string): ExpressionProblem {
  const said = error instanceof Error ? error.message : String(error);
  // The parser repeats the place, and goes on with everything that could have stood there.
  const message = said.replace(/^.*?<input>:\d+:\d+: /, '').replace(/ but expecting .*$/s, '');
  return { message, ...placeOf(source, syntaxError.safeParse(error).data?.location.start.offset ?? 0) };
}
