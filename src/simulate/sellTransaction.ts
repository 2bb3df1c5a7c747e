import { newTrade } from './currency.ts';
import type { Customer } from './customer.ts';
import { decimal, hexDigits, integerBetween, isoTime, type ProviderEvent, type Source } from './providerEvent.ts';

type SellStatus = 'waitingForDeposit' | 'pending' | 'completed';

/** Between two events of one sale. */
const STEP_MS = 30_000;

export function completedSale(source: Source, customer: Customer): ProviderEvent[] {
  const next = newSellTransaction(source, customer);
  return [
    next('sell_transaction_created', 'waitingForDeposit'),
    next('sell_transaction_updated', 'pending'),
    next('sell_transaction_updated', 'completed'),
  ];
}

/** The price moved before the deposit came. This event prints currencies as plain strings and names no customer of MoonPay's. */
export function requotedSale(source: Source, customer: Customer): ProviderEvent[] {
  const created = newSellTransaction(source, customer)('sell_transaction_created', 'waitingForDeposit');
  const { id, createdAt, baseCurrencyAmount, quoteCurrencyAmount } = created.data;
  return [
    created,
    {
      type: 'sell_transaction_requote_required',
      externalCustomerId: customer.externalId,
      data: {
        id,
        status: 'requoteRequired',
        createdAt,
        updatedAt: isoTime(source.now()),
        baseCurrencyAmount,
        quoteCurrencyAmount,
        baseCurrency: 'usdc',
        quoteCurrency: 'usd',
        externalCustomerId: customer.externalId,
        walletAddress: `0x${hexDigits(source, 40)}`,
        externalTransactionId: null,
      },
    },
  ];
}

/** A sale under way: each call gives its next event. */
function newSellTransaction(source: Source, customer: Customer): (type: string, status: SellStatus) => ProviderEvent {
  const id = source.newId();
  const trade = newTrade(source, integerBetween(source, 5_000, 120_000));
  const depositAddress = `0x${hexDigits(source, 40)}`;
  const refundWalletAddress = `0x${hexDigits(source, 40)}`;
  const depositHash = `0x${hexDigits(source, 64)}`;
  const createdAtMs = source.now() - 4 * STEP_MS;
  let steps = 0;

  return (type, status) => ({
    type,
    externalCustomerId: customer.externalId,
    data: {
      id,
      createdAt: isoTime(createdAtMs),
      updatedAt: isoTime(createdAtMs + STEP_MS * steps++),
      quoteExpiresAt: isoTime(createdAtMs + 20 * 60_000),
      status,
      failureReason: null,
      baseCurrencyAmount: decimal(trade.cryptoUnits, trade.crypto.precision),
      quoteCurrencyAmount: decimal(trade.fiatCents, 2),
      feeAmount: decimal(trade.feeCents, 2),
      extraFeeAmount: 0,
      flow: 'floating',
      baseCurrency: trade.crypto,
      quoteCurrency: trade.fiat,
      depositWallet: { walletAddress: depositAddress, walletAddressTag: null },
      refundWalletAddress,
      depositHash: status === 'waitingForDeposit' ? null : depositHash,
      payoutMethod: 'sepa_bank_transfer',
      customerId: customer.id,
      externalCustomerId: customer.externalId,
      externalTransactionId: null,
      country: customer.country,
      state: customer.state,
    },
  });
}
