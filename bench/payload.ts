/** Bytes of a body: what MoonPay sends for a transaction is between 1 and 4 kB. */
const BODY_BYTES = 1_536;

/**
 * An event of MoonPay about the transaction `id`, of exactly BODY_BYTES when the id is a UUID. With another id it is
 * about another transaction.
 */
export function webhookBody(id: string): string {
  const body = bodyWith(id, '');
  return bodyWith(id, 'x'.repeat(BODY_BYTES - body.length));
}

function bodyWith(id: string, padding: string): string {
  return JSON.stringify({
    type: 'transaction_updated',
    externalCustomerId: 'customer_123',
    data: {
      id,
      createdAt: '2026-11-20T10:00:00.000Z',
      updatedAt: '2026-11-20T10:02:30.000Z',
      status: 'completed',
      externalTransactionId: id,
      customerId: '7138fb07-7c66-4f9a-a83a-a106e66bfde6',
      externalCustomerId: 'customer_123',
      baseCurrency: {
        id: '71435a8d-211c-4664-a59e-2a5361a6c5a7',
        type: 'fiat',
        name: 'Euro',
        code: 'eur',
        precision: 2,
      },
      currency: {
        id: '8d305f63-1fd7-4e01-a220-8445e591aec4',
        type: 'crypto',
        name: 'Ethereum',
        code: 'eth',
        precision: 18,
      },
      baseCurrencyAmount: 129.99,
      quoteCurrencyAmount: 0.04217,
      feeAmount: 4.99,
      extraFeeAmount: 0,
      networkFeeAmount: 1.37,
      areFeesIncluded: true,
      paymentMethod: 'credit_debit_card',
      walletAddress: '0xc216eD2D6c295579718dbd4a797845CdA70B3C36',
      cryptoTransactionId: '0x548b15d1673d4a8c9ab93d48be8b42cb9f9bc42a2b48ce1bb7d0b8fa3eb8ab0a',
      country: 'DEU',
      stages: [{ stage: 'stage_one_ordering', status: 'success', failureReason: null, actions: [] }],
      metadata: padding,
    },
  });
}
