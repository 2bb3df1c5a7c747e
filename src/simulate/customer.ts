import { integerBetween, oneOf, type Source } from './providerEvent.ts';

export interface Customer {
  /** MoonPay's id. */
  readonly id: string;
  /** Yours. */
  readonly externalId: string;
  /** ISO 3166-1 alpha-3. */
  readonly country: string;
  readonly state: string | null;
}

const residences = [
  { country: 'DEU', state: null },
  { country: 'GBR', state: null },
  { country: 'FRA', state: null },
  { country: 'USA', state: 'NJ' },
  { country: 'BRA', state: null },
] as const;

export function newCustomer(source: Source): Customer {
  const externalId = `customer_${integerBetween(source, 10_000, 99_999)}`;
  return { id: source.newId(), externalId, ...oneOf(source, residences) };
}
