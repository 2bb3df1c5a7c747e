import { newTrade } from './currency.ts';
import type { Customer } from './customer.ts';
import { decimal, hexDigits, integerBetween, isoTime, type ProviderEvent, type Source } from './providerEvent.ts';
import { type Stage, stagesAfter } from './stages.ts';

/** How a purchase stands; what is not given is as it was at the start. */
interface BuyState {
  readonly status: 'waitingPayment' | 'pending' | 'waitingAuthorization' | 'completed' | 'failed';
  readonly stages: readonly Stage[];
  /** MoonPay's sentence for people. */
  readonly failureReason?: string;
}

type BuyEventType = 'transaction_created' | 'transaction_updated' | 'transaction_failed' | 'chargeback';

/** Between two events of one purchase. */
const STEP_MS = 15_000;

/** A purchase under way: each call gives its next event, 15 seconds after the one before. */
function newBuyTransaction(source: Source, customer: Customer): (type: BuyEventType, state: BuyState) => ProviderEvent {
  const id = source.newId();
  const trade = newTrade(source, integerBetween(source, 3_000, 90_000));
  const walletAddress = `0x${hexDigits(source, 40)}`;
  const cryptoTransactionId = `0x${hexDigits(source, 64)}`;
  const externalTransactionId = `order_${integerBetween(source, 100_000, 999_999)}`;
  const createdAtMs = source.now() - 6 * STEP_MS;
  let steps = 0;

  return (type, { status, stages, failureReason = null }) => ({
    type,
    externalCustomerId: customer.externalId,
    data: {
      id,
      createdAt: isoTime(createdAtMs),
      updatedAt: isoTime(createdAtMs + STEP_MS * steps++),
      status,
      failureReason,
      baseCurrencyAmount: decimal(trade.fiatCents, 2),
      quoteCurrencyAmount: decimal(trade.cryptoUnits, trade.crypto.precision),
      feeAmount: decimal(trade.feeCents, 2),
      extraFeeAmount: 0,
      networkFeeAmount: 0.56,
      areFeesIncluded: true,
      flow: 'principal',
      baseCurrency: trade.fiat,
      currency: trade.crypto,
      walletAddress,
      walletAddressTag: null,
      cryptoTransactionId: status === 'completed' ? cryptoTransactionId : null,
      paymentMethod: 'credit_debit_card',
      cardType: 'card',
      customerId: customer.id,
      externalCustomerId: customer.externalId,
      externalTransactionId,
      country: customer.country,
      state: customer.state,
      stages,
    },
  });
}

export function completedPurchase(source: Source, customer: Customer): ProviderEvent[] {
  const next = newBuyTransaction(source, customer);
  return [
    next('transaction_created', { status: 'waitingPayment', stages: stagesAfter(0) }),
    next('transaction_updated', { status: 'waitingAuthorization', stages: stagesAfter(1) }),
    next('transaction_updated', { status: 'pending', stages: stagesAfter(2) }),
    next('transaction_updated', { status: 'completed', stages: stagesAfter(4) }),
  ];
}

/** The first event that MoonPay sends of it can be the last one, and lack the amounts. */
export function declinedPurchase(source: Source, customer: Customer): ProviderEvent[] {
  const { type, externalCustomerId, data } = newBuyTransaction(source, customer)('transaction_failed', {
    status: 'failed',
    stages: stagesAfter(0, 'payment_authorization_declined'),
    failureReason: 'Payment was declined by the card issuer',
  });
  const kept = [
    'id',
    'createdAt',
    'updatedAt',
    'status',
    'failureReason',
    'customerId',
    'externalTransactionId',
    'stages',
  ];
  const early = Object.entries(data).filter(([name]) => kept.includes(name));
  return [{ type, externalCustomerId, data: { id: data.id, ...Object.fromEntries(early) } }];
}

/** Charged, and the coins never arrived. */
export function undeliveredPurchase(source: Source, customer: Customer): ProviderEvent[] {
  const next = newBuyTransaction(source, customer);
  return [
    next('transaction_created', { status: 'waitingPayment', stages: stagesAfter(0) }),
    next('transaction_updated', { status: 'pending', stages: stagesAfter(3) }),
    next('transaction_failed', {
      status: 'failed',
      stages: stagesAfter(3, 'error'),
      failureReason: 'The purchase could not be delivered to the wallet',
    }),
  ];
}

/** A purchase that MoonPay turned down because of the identity check. */
export function purchaseWithoutIdentity(source: Source, customer: Customer): ProviderEvent[] {
  const next = newBuyTransaction(source, customer);
  return [
    next('transaction_created', { status: 'waitingPayment', stages: stagesAfter(0) }),
    next('transaction_failed', {
      status: 'failed',
      stages: stagesAfter(1, 'rejected_kyc'),
      failureReason: 'The identity of the customer could not be verified',
    }),
  ];
}

/** The card holder takes the money back after the coins were delivered. */
export function chargedBackPurchase(source: Source, customer: Customer): ProviderEvent[] {
  const next = newBuyTransaction(source, customer);
  return [
    next('transaction_created', { status: 'waitingPayment', stages: stagesAfter(0) }),
    next('transaction_updated', { status: 'completed', stages: stagesAfter(4) }),
    next('chargeback', { status: 'completed', stages: stagesAfter(4) }),
  ];
}
