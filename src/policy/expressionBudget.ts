import { type CelValue, isCelList, isCelMap } from '@bufbuild/cel';

/** Steps for as many characters of text. */
const TEXT_PER_STEP = 64;

/** What one evaluation may still do, in steps. The same expression on the same data always costs the same. */
export class Budget {
  #left = 0;

  begin(steps: number): void {
    this.#left = steps;
  }

  /** @throws Error when it is used up */
  spend(steps: number): void {
    this.#left -= steps;
    if (this.#left < 0) throw new Error('the expression takes too many steps on this data');
  }

  /** For looking at a value; deep: at everything inside of it. */
  spendOn(value: CelValue, isDeep: boolean): void {
    if (typeof value === 'string' || value instanceof Uint8Array) this.spend(Math.ceil(value.length / TEXT_PER_STEP));
    if (!isDeep || typeof value !== 'object' || value === null) return;
    if (isCelList(value)) for (const element of value) this.#spendOnElement(element);
    else if (isCelMap(value)) for (const element of value.values()) this.#spendOnElement(element);
  }

  #spendOnElement(element: CelValue): void {
    this.spend(1);
    this.spendOn(element, true);
  }
}

/** RE2 takes time in proportion to the text and to the states of the pattern, of which `a{1000}` has a thousand. */
export function matchingSteps(characters: number, pattern: string): number {
  let states = pattern.length;
  for (const [repetitions] of pattern.matchAll(/\d+/g)) states += pattern.length * Number(repetitions);
  return Math.ceil((characters * states) / TEXT_PER_STEP);
}
