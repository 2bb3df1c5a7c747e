import {
  type CelFunc,
  CelScalar,
  type CelValue,
  celEnv,
  celFunc,
  celMethod,
  isCelError,
  isCelList,
  isCelMap,
  listType,
} from '@bufbuild/cel';

/** What one evaluation may still do, in steps. The same expression on the same data always costs the same. */
export interface Budget {
  left: number;
}

/** Charges for the size of what a comprehension runs through; put around its range when the expression is compiled. */
export const RANGE = '@range';

/** Steps for as many characters of text. */
const TEXT_PER_STEP = 64;
const LIST = listType(CelScalar.DYN);

/** Functions that look at everything inside of what they are given. */
const deepFunctions: ReadonlySet<string> = new Set(['_==_', '_!=_', '@in']);

/**
 * The functions of CEL, each charging for its work. CEL always ends, yet a few lines of nested comprehensions, sums of
 * lists or comparisons of whole events can keep a thread busy for hours.
 */
export function chargedFunctions(budget: Budget): CelFunc[] {
  const spend = (steps: number): void => {
    budget.left -= steps;
    if (budget.left < 0) throw new Error('the expression takes too many steps on this data');
  };

  const charge = (value: CelValue, isDeep: boolean): void => {
    if (typeof value === 'string' || value instanceof Uint8Array) spend(Math.ceil(value.length / TEXT_PER_STEP));
    if (!isDeep || typeof value !== 'object' || value === null) return;
    if (isCelList(value)) for (const element of value) charged(element);
    else if (isCelMap(value)) for (const element of value.values()) charged(element);
  };
  const charged = (value: CelValue): void => {
    spend(1);
    charge(value, true);
  };

  const standard = Array.from(celEnv().funcs, (func) => {
    const isDeep = deepFunctions.has(func.name);
    const call = (target: CelValue | undefined, args: CelValue[]): CelValue => {
      spend(1);
      if (target !== undefined) charge(target, isDeep);
      for (const arg of args) charge(arg, isDeep);
      if (func.name === 'matches' && typeof target === 'string') spend(matchingSteps(target, args[0]));
      const result = func.call(0, target, args);
      if (result === undefined || isCelError(result)) throw result ?? new Error(`${func.name} does not apply`);
      return result;
    };
    if (func.target === undefined) {
      return celFunc(func.name, func.arguments, func.result, (...args: CelValue[]) => call(undefined, args));
    }
    return celMethod(func.name, func.target, func.arguments, func.result, function (...args: CelValue[]) {
      return call(this, args);
    });
  });

  return [
    ...standard,
    // Theirs nests a list in a list for every sum: reading it back takes the square of its length.
    celFunc('_+_', [LIST, LIST], LIST, (left, right) => {
      spend(left.size + right.size);
      return [...left, ...right];
    }),
    celFunc(RANGE, [CelScalar.DYN], CelScalar.DYN, (range) => {
      if (isCelList(range) || isCelMap(range)) spend(range.size);
      return range;
    }),
  ];
}

/** RE2 takes time in proportion to the text and to the states of the pattern, of which `a{1000}` has a thousand. */
function matchingSteps(text: string, pattern: CelValue | undefined): number {
  if (typeof pattern !== 'string') return 0;
  let states = pattern.length;
  for (const [repetitions] of pattern.matchAll(/\d+/g)) states += pattern.length * Number(repetitions);
  return Math.ceil((text.length * states) / TEXT_PER_STEP);
}
