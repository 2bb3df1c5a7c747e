import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { compareDecimals, minorUnits, moneyOf, parseDecimal } from './money.ts';

function decimal(text: string) {
  const parsed = parseDecimal(text);
  if (parsed === undefined) throw new Error(`${text} is no decimal`);
  return parsed;
}

describe('an amount', () => {
  test.each<[what: string, currency: string, kind: 'fiat' | 'crypto', amount: string, money: object]>([
    ['of euros', 'eur', 'fiat', '1234.5', { amount: '1234.5', decimals: 2, minor: '123450' }],
    [
      'that a double does not hold',
      'EUR',
      'fiat',
      '0.30000000000000004',
      { amount: '0.30000000000000004', decimals: 2 },
    ],
    ['of yen', 'JPY', 'fiat', '500', { amount: '500', decimals: 0, minor: '500' }],
    ['of half a yen', 'JPY', 'fiat', '500.5', { amount: '500.5', decimals: 0 }],
    ['of dinars', 'KWD', 'fiat', '1.234', { amount: '1.234', decimals: 3, minor: '1234' }],
    ['of zeros', 'EUR', 'fiat', '00010.500', { amount: '10.5', decimals: 2, minor: '1050' }],
    ['of nothing', 'EUR', 'fiat', '-0.00', { amount: '0', decimals: 2, minor: '0' }],
    ['below zero', 'EUR', 'fiat', '-0.05', { amount: '-0.05', decimals: 2, minor: '-5' }],
    ['with an exponent', 'EUR', 'fiat', '1e21', { amount: '1000000000000000000000', decimals: 2 }],
    ['with a negative exponent', 'EUR', 'fiat', '5E-1', { amount: '0.5', decimals: 2, minor: '50' }],
    [
      'of one wei',
      'ETH',
      'crypto',
      '0.000000000000000001',
      { amount: '0.000000000000000001', decimals: 18, minor: '1' },
    ],
    [
      'of 18 decimals',
      'ETH',
      'crypto',
      '1.234567890123456789',
      { amount: '1.234567890123456789', decimals: 18, minor: '1234567890123456789' },
    ],
    ['of an asset on a chain', 'usdc_sol', 'crypto', '12.5', { amount: '12.5', decimals: 6, minor: '12500000' }],
    ['of an asset nobody knows', 'WTF', 'crypto', '12.5', { amount: '12.5' }],
    [
      'at the end of 64 bits',
      'JPY',
      'fiat',
      '9223372036854775807',
      { amount: '9223372036854775807', decimals: 0, minor: '9223372036854775807' },
    ],
    ['beyond 64 bits', 'JPY', 'fiat', '9223372036854775808', { amount: '9223372036854775808', decimals: 0 }],
    [
      'at the other end',
      'JPY',
      'fiat',
      '-9223372036854775808',
      { amount: '-9223372036854775808', decimals: 0, minor: '-9223372036854775808' },
    ],
  ])('%s: %s %s %s', (_, currency, kind, amount, money) => {
    expect(moneyOf({ currency, kind, amount }).money).toEqual({ currency: currency.toUpperCase(), ...money });
  });

  test.each([
    ['500.5', 'JPY', 'fiat', { minor: 'no whole number of minor units (0 decimals)' }],
    ['1e21', 'EUR', 'fiat', { minor: 'beyond 64 bits' }],
    [
      '1',
      'WTF',
      'crypto',
      { decimals: expect.stringContaining('not known'), minor: expect.stringContaining('not known') },
    ],
    ['', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
    ['12,50', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
    ['1e999', 'EUR', 'fiat', { '': expect.stringContaining('at most 60 digits') }],
    ['1e-61', 'EUR', 'fiat', { '': expect.stringContaining('at most 60 digits') }],
    ['1e99999999', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
    ['NaN', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
    ['Infinity', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
    ['0x10', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
    [' 1', 'EUR', 'fiat', { '': expect.stringContaining('no decimal number') }],
  ] as const)('that is not exact is absent, with the reason: %j %s', (amount, currency, kind, absent) => {
    expect(moneyOf({ currency, kind, amount }).absent).toEqual(absent);
  });

  test('has the decimals that the payload gives, where they can be', () => {
    expect(moneyOf({ currency: 'WTF', kind: 'crypto', amount: '1.5', decimals: 4 }).money).toMatchObject({
      minor: '15000',
    });
    for (const decimals of [-1, 1.5, Number.NaN, 61]) {
      expect(moneyOf({ currency: 'BTC', kind: 'crypto', amount: '1.5', decimals }).money).toMatchObject({
        decimals: 8,
      });
    }
  });
});

describe('decimals', () => {
  const parts = fc.record({ digits: fc.bigInt(-(10n ** 40n), 10n ** 40n), scale: fc.nat(40) });
  /** Written with a point and with zeros at the end. */
  const textOf = ({ digits, scale }: { digits: bigint; scale: number }, zeros = 0): string => {
    const plain = String(digits < 0n ? -digits : digits).padStart(scale + 1, '0');
    const fraction = plain.slice(plain.length - scale) + '0'.repeat(zeros);
    return `${digits < 0n ? '-' : ''}${plain.slice(0, plain.length - scale)}${fraction === '' ? '' : `.${fraction}`}`;
  };

  test('compare like the whole numbers they are at one scale', () => {
    fc.assert(
      fc.property(parts, parts, fc.nat(10), (a, b, zeros) => {
        const [left, right] = [a.digits * 10n ** BigInt(b.scale), b.digits * 10n ** BigInt(a.scale)];
        const expected = left < right ? -1 : left > right ? 1 : 0;
        expect(compareDecimals(decimal(textOf(a, zeros)), decimal(textOf(b)))).toBe(expected);
      }),
    );
  });

  test('0.1 and 0.2 are 0.3', () => {
    const sum = ['0.1', '0.2'].reduce((minor, amount) => minor + (minorUnits(amount, 2) ?? 0n), 0n);

    expect(sum).toBe(minorUnits('0.3', 2));
    expect(compareDecimals(decimal('0.30'), decimal('0.30000000000000004'))).toBe(-1);
  });

  test('are written one way', () => {
    fc.assert(
      fc.property(parts, fc.nat(10), (given, zeros) => {
        const [plain, padded] = [textOf(given), textOf(given, zeros)].map((amount) =>
          moneyOf({ currency: 'EUR', kind: 'fiat', amount }),
        );
        expect(padded).toEqual(plain);
        expect(parseDecimal(plain?.money?.amount ?? '')).toEqual(parseDecimal(textOf(given)));
      }),
    );
  });

  test('have minor units exactly where those are whole', () => {
    fc.assert(
      fc.property(parts, fc.nat(20), ({ digits, scale }, decimals) => {
        const divisor = 10n ** BigInt(Math.max(0, scale - decimals));
        const minor = (digits * 10n ** BigInt(Math.max(0, decimals - scale))) / divisor;
        const isWhole = digits % divisor === 0n && minor >= -(2n ** 63n) && minor < 2n ** 63n;
        expect(minorUnits(textOf({ digits, scale }), decimals)).toBe(isWhole ? minor : undefined);
      }),
    );
  });
});
