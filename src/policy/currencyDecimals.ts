/** Decimals of the minor unit by ISO 4217, where they are not 2. */
const fiatDecimals: ReadonlyMap<string, number> = new Map([
  ...decimals(0, 'BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF'),
  ...decimals(3, 'BHD IQD JOD KWD LYD OMR TND'),
  ...decimals(4, 'CLF UYW'),
]);

/** Of assets whose payloads do not say it. */
const cryptoDecimals: ReadonlyMap<string, number> = new Map([
  ...decimals(6, 'ADA TRX USDC USDT XRP'),
  ...decimals(7, 'XLM'),
  ...decimals(8, 'BCH BTC DOGE LTC'),
  ...decimals(9, 'SOL TON'),
  ...decimals(10, 'DOT'),
  ...decimals(18, 'AVAX BNB ETH MATIC POL'),
]);

/** Of `USDC_SOL` they are those of `USDC`. undefined: nobody knows. */
export function decimalsOf(currency: string, kind: 'fiat' | 'crypto'): number | undefined {
  if (kind === 'fiat') return /^[A-Z]{3}$/.test(currency) ? (fiatDecimals.get(currency) ?? 2) : undefined;
  return cryptoDecimals.get(currency.replace(/_.*$/, ''));
}

function decimals(count: number, currencies: string): [string, number][] {
  return currencies.split(' ').map((currency) => [currency, count]);
}
