import type { Runtime } from '../runtime.ts';

/** A webhook as MoonPay would send it. */
export interface ProviderEvent {
  readonly type: string;
  readonly data: { readonly id: string; readonly status?: string } & Readonly<Record<string, unknown>>;
  /** Your own id of the customer. */
  readonly externalCustomerId: string;
}

/** What made-up events are made from; with a runtime of its own a test gets the same events again. */
export type Source = Pick<Runtime, 'now' | 'newId' | 'random'>;

/** The bytes that are signed and sent. */
export function bodyOf({ type, data, externalCustomerId }: ProviderEvent): Buffer {
  return Buffer.from(JSON.stringify({ type, data, externalCustomerId }));
}

/** An integer from `least` to `most`. */
export function integerBetween(source: Source, least: number, most: number): number {
  return least + Math.floor(source.random() * (most - least + 1));
}

export function oneOf<T>(source: Source, choices: readonly T[]): T {
  const choice = choices[integerBetween(source, 0, choices.length - 1)];
  if (choice === undefined) throw new RangeError('There is nothing to choose from.');
  return choice;
}

export function hexDigits(source: Source, length: number): string {
  return Array.from({ length }, () => integerBetween(source, 0, 15).toString(16)).join('');
}

/** Whole units of the last decimal place as the number that JSON shows: (12345, 2) is 123.45. */
export function decimal(units: number, places: number): number {
  return Number(`${units}e-${places}`);
}

export function isoTime(milliseconds: number): string {
  return new Date(milliseconds).toISOString();
}
