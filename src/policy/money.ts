import { decimalsOf } from './currencyDecimals.ts';
import type { Money } from './inputs.ts';

/** A decimal number exactly: `digits` times ten to the power of minus `scale`; the smallest scale that does. */
export interface Decimal {
  readonly digits: bigint;
  readonly scale: number;
}

/** Digits before and behind the point: room for 18 decimals of anything, and an end to `1e999999999`. */
const MOST_DIGITS = 60;
const DECIMAL = /^(-?)(\d{1,100})(?:\.(\d{1,100}))?(?:[eE]([+-]?\d{1,3}))?$/;

/** undefined: no decimal number, or more than 60 digits before or behind the point. */
export function parseDecimal(text: string): Decimal | undefined {
  const [, sign, whole, fraction = '', exponent = '0'] = DECIMAL.exec(text) ?? [];
  if (whole === undefined) return undefined;
  let digits = BigInt(whole + fraction);
  let scale = fraction.length - Number(exponent);
  if (digits === 0n) return { digits, scale: 0 };
  while (scale > 0 && digits % 10n === 0n) {
    digits /= 10n;
    scale--;
  }
  if (scale < 0) {
    digits *= 10n ** BigInt(-scale);
    scale = 0;
  }
  if (scale > MOST_DIGITS || digits >= 10n ** BigInt(MOST_DIGITS + scale)) return undefined;
  return { digits: sign === '-' ? -digits : digits, scale };
}

export function compareDecimals(a: Decimal, b: Decimal): -1 | 0 | 1 {
  const left = a.digits * 10n ** BigInt(b.scale);
  const right = b.digits * 10n ** BigInt(a.scale);
  if (left === right) return 0;
  return left < right ? -1 : 1;
}

/** `-1234.5`: no exponent, no zeros at the ends. */
function decimalText({ digits, scale }: Decimal): string {
  const sign = digits < 0n ? '-' : '';
  const text = String(digits < 0n ? -digits : digits).padStart(scale + 1, '0');
  return scale === 0 ? sign + text : `${sign}${text.slice(0, -scale)}.${text.slice(-scale)}`;
}

const LEAST_INT = -(2n ** 63n);
const MOST_INT = 2n ** 63n - 1n;

/** undefined: no decimal, no whole number of minor units, or beyond 64 bits. Nothing is ever rounded. */
export function minorUnits(amount: string, decimals: number): bigint | undefined {
  const decimal = parseDecimal(amount);
  if (decimal === undefined || decimal.scale > decimals) return undefined;
  const minor = decimal.digits * 10n ** BigInt(decimals - decimal.scale);
  return minor >= LEAST_INT && minor <= MOST_INT ? minor : undefined;
}

export interface GivenMoney {
  readonly currency: string;
  /** Its digits as they were written; an exponent is understood. */
  readonly amount: string;
  readonly kind: 'fiat' | 'crypto';
  /** Of a crypto currency, where the payload says it. */
  readonly decimals?: number | undefined;
}

/** Money as policies see it. `absent`: why a part is missing, by the name of the part; '' for all of it. */
export function moneyOf({ currency: code, amount, kind, decimals }: GivenMoney): {
  readonly money?: Money;
  readonly absent: Readonly<Record<string, string>>;
} {
  const currency = code.toUpperCase();
  const decimal = parseDecimal(amount);
  if (decimal === undefined) return { absent: { '': 'the amount is no decimal number of at most 60 digits' } };
  const money = { currency, amount: decimalText(decimal) };
  const known = kind === 'crypto' && isCount(decimals) ? decimals : decimalsOf(currency, kind);
  if (known === undefined) {
    const reason = 'the decimals of this currency are not known';
    return { money, absent: { decimals: reason, minor: reason } };
  }
  const minor = minorUnits(money.amount, known);
  if (minor !== undefined) return { money: { ...money, decimals: known, minor: String(minor) }, absent: {} };
  const reason = decimal.scale > known ? `no whole number of minor units (${known} decimals)` : 'beyond 64 bits';
  return { money: { ...money, decimals: known }, absent: { minor: reason } };
}

function isCount(decimals: number | undefined): decimals is number {
  return decimals !== undefined && Number.isInteger(decimals) && decimals >= 0 && decimals <= MOST_DIGITS;
}
