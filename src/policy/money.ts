import type { Money } from './inputs.ts';

/** A decimal number exactly: `digits` times ten to the power of minus `scale`. */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

/** undefined: no decimal number, or more than 60 digits before or behind the point. */
export function parseDecimal(_text: string): Decimal | undefined {
  throw new Error('not built yet');
}

export function compareDecimals(_a: Decimal, _b: Decimal): -1 | 0 | 1 {
  throw new Error('not built yet');
}

/** undefined: no decimal, no whole number of minor units, or beyond 64 bits. */
export function minorUnits(_amount: string, _decimals: number): bigint | undefined {
  throw new Error('not built yet');
}

/** Money as policies see it, from the digits of an amount; `absent`: why a part is missing, by the name of the part. */
export function moneyOf(_given: {
  readonly currency: string;
  readonly amount: string;
  readonly kind: 'fiat' | 'crypto';
  /** Of a crypto currency, where the payload says it. */
  readonly decimals?: number | undefined;
}): { readonly money?: Money; readonly absent: Readonly<Record<string, string>> } {
  throw new Error('not built yet');
}
