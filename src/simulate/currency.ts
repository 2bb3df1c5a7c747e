import { oneOf, type Source } from './providerEvent.ts';

/** Sandbox currencies, with the members of MoonPay's objects that integrations read. */
export const fiatCurrencies = [
  { type: 'fiat', code: 'eur', name: 'Euro', precision: 2 },
  { type: 'fiat', code: 'usd', name: 'US Dollar', precision: 2 },
  { type: 'fiat', code: 'gbp', name: 'Pound Sterling', precision: 2 },
] as const;

export const cryptoCurrencies = [
  {
    type: 'crypto',
    code: 'eth',
    name: 'Ethereum',
    precision: 4,
    metadata: {
      contractAddress: '0x0000000000000000000000000000000000000000',
      chainId: '11155111',
      networkCode: 'ethereum',
    },
  },
  {
    type: 'crypto',
    code: 'usdc',
    name: 'USD Coin (ERC-20)',
    precision: 2,
    metadata: {
      contractAddress: '0x1c7d4b196cb0c7b01d743fbc6116a902379c7238',
      chainId: '11155111',
      networkCode: 'ethereum',
    },
  },
] as const;

export type FiatCurrency = (typeof fiatCurrencies)[number];
export type CryptoCurrency = (typeof cryptoCurrencies)[number];

/** Cents of any fiat currency that one whole coin costs; near enough for made-up trades. */
const priceInCents: Readonly<Record<CryptoCurrency['code'], number>> = { eth: 260_000, usdc: 100 };

/** A trade of `fiatCents`; `cryptoUnits` counts the coin's last decimal place. */
export interface Trade {
  readonly fiat: FiatCurrency;
  readonly crypto: CryptoCurrency;
  readonly fiatCents: number;
  readonly cryptoUnits: number;
  readonly feeCents: number;
}

export function newTrade(source: Source, fiatCents: number): Trade {
  const crypto = oneOf(source, cryptoCurrencies);
  const cryptoUnits = Math.round((fiatCents * 10 ** crypto.precision) / priceInCents[crypto.code]);
  return { fiat: oneOf(source, fiatCurrencies), crypto, fiatCents, cryptoUnits, feeCents: 399 };
}
