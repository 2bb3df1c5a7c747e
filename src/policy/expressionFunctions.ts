import {
  type CelFunc,
  type CelInput,
  CelScalar,
  type CelValue,
  celEnv,
  celFunc,
  celMethod,
  isCelError,
  isCelList,
  isCelMap,
} from '@bufbuild/cel';
import { type Budget, matchingSteps } from './expressionBudget.ts';
import { HAS, IN_LIST, RANGE } from './expressionLowering.ts';
import { timeFunctions } from './expressionTime.ts';
import type { ListLookup } from './listLookup.ts';
import { compareDecimals, parseDecimal } from './money.ts';

/** The evaluation that is going on; evaluations never overlap: they do not wait for anything. */
export interface Evaluation {
  readonly budget: Budget;
  values: Readonly<Record<string, unknown>>;
  lists: ListLookup | undefined;
}

const { BOOL, DYN, INT, STRING } = CelScalar;

/** What a source may name: CEL's own functions, and `compareDecimals`. */
export const signatures: readonly CelFunc[] = [
  ...celEnv({ funcs: [...timeFunctions] }).funcs,
  ...[STRING, INT].flatMap((a) => [STRING, INT].map((b) => celFunc('compareDecimals', [a, b], INT, compareNumbers))),
];

/** Functions that look at everything inside of what they are given. */
const deepFunctions: ReadonlySet<string> = new Set(['_==_', '_!=_', '@in']);

/**
 * All functions, each charging for its work. CEL always ends, yet a few lines of nested comprehensions, sums of lists or
 * comparisons of whole events can keep a thread busy for hours.
 */
export function chargedFunctions(evaluation: Evaluation): CelFunc[] {
  const { budget } = evaluation;
  const shapes = Map.groupBy(
    signatures,
    ({ name, target, arguments: { length } }) => `${name} ${target === undefined} ${length}`,
  );
  const charged = Array.from(shapes.values(), (overloads) => chargedFunction(overloads, budget)).flat();
  const replaced = new Set(charged.map(({ id }) => id));
  return [
    // The library takes the first that fits. These take anything; what they stand for is put behind them.
    ...charged,
    ...signatures.filter(({ id }) => !replaced.has(id)),
    celFunc(RANGE, [DYN], DYN, (range) => {
      if (isCelList(range) || isCelMap(range)) budget.spend(range.size);
      return range;
    }),
    celFunc(HAS, [STRING], BOOL, (path) => {
      const value = evaluation.values[path];
      return value !== undefined && !isCelError(value);
    }),
    celFunc(IN_LIST, [DYN, STRING], BOOL, (value, list) => {
      budget.spend(1);
      if (typeof value !== 'string') throw new Error(`lists.${list} holds texts alone`);
      const isIn = evaluation.lists?.has(list, value);
      if (isIn === undefined) throw new Error(`there is no list ${list}`);
      return isIn;
    }),
  ];
}

/** One function for all overloads of a name with as many operands. */
function chargedFunction(overloads: readonly CelFunc[], budget: Budget): CelFunc[] {
  const [first] = overloads;
  if (first === undefined) return [];
  const { name } = first;
  const isDeep = deepFunctions.has(name);
  const call = (target: CelValue | undefined, args: CelValue[]): CelInput => {
    budget.spend(1);
    const [left, right] = args;
    if (target !== undefined) budget.spendOn(target, isDeep);
    for (const arg of args) budget.spendOn(arg, isDeep);
    if (name === 'matches' && typeof target === 'string' && typeof left === 'string') {
      budget.spend(matchingSteps(target.length, left));
    }
    if (name === '_+_' && isCelList(left) && isCelList(right)) {
      // Theirs nests a list in a list for every sum: reading it back takes the square of its length.
      budget.spend(left.size + right.size);
      return [...left, ...right];
    }
    for (const overload of overloads) {
      const value = overload.call(0, target, args);
      if (isCelError(value)) throw value;
      if (value !== undefined) return value;
    }
    throw new Error(`found no matching overload for '${name}'`);
  };
  const anything = first.arguments.map(() => DYN);
  if (first.target === undefined) return [celFunc(name, anything, DYN, (...args: CelValue[]) => call(undefined, args))];
  const method = celMethod(name, DYN, anything, DYN, function (...args: CelValue[]) {
    return call(this, args);
  });
  return [method];
}

function compareNumbers(a: string | bigint, b: string | bigint): bigint {
  const [left, right] = [parseDecimal(String(a)), parseDecimal(String(b))];
  if (left === undefined || right === undefined)
    throw new Error('compareDecimals takes decimal numbers of at most 60 digits');
  return BigInt(compareDecimals(left, right));
}
