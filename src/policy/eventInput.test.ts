import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { examplesFolder, testWithShared } from '../../test/support/besideCheckout.ts';
import { eventInputOf, type StoredEvent } from './eventInput.ts';
import { customerInput, transactionInput } from './rowInputs.ts';

const stored = (json: string | null, event_name = 'transaction.updated'): StoredEvent => ({
  id: 'e1',
  environment: 'production',
  event_name,
  event_type: 'transaction_updated',
  entity_type: 'transaction',
  entity_id: 't1',
  at: new Date('2026-01-02T03:04:05.678Z'),
  json,
});
const withData = (data: string, name?: string): StoredEvent => stored(`{"type": "x", "data": ${data}}`, name);

const example = (name: string, eventName: string): StoredEvent =>
  stored(readFileSync(new URL(name, examplesFolder), 'utf8'), eventName);

describe('policies see', () => {
  testWithShared('a purchase', () => {
    const { event, absent } = eventInputOf(example('transaction_failed.docs-joined.json', 'transaction.failed'));

    expect(event).toMatchObject({
      name: 'transaction.failed',
      at: '2026-01-02T03:04:05.678Z',
      customer_id: '77cc1309-0058-4177-b170-8e9657fe12eb',
      country: 'GBR',
      card_id: '0a7e23d8-6a52-44c7-b189-91b37bd13796',
      payment_method: 'credit_debit_card',
      fiat: { currency: 'GBP', amount: '45.5', minor: '4550' },
      crypto: { currency: 'USDC', amount: '0.0154', minor: '15400' },
      fee: { currency: 'GBP', amount: '1.7', minor: '170' },
      wallet: { address: '0xc216eD2D6c295579718dbd4a797845CdA70B3C36', network: 'ethereum' },
      stages: [{ stage: 'stage_one_ordering', status: 'success' }],
    });
    expect(absent).toEqual({});
  });

  testWithShared('a sale, in which the crypto is sold', () => {
    const { event } = eventInputOf(example('sell_transaction_waitingForDeposit.data.json', 'sell_transaction.created'));

    expect(event).toMatchObject({
      external_customer_id: 'test_external_customer_id',
      fiat: { currency: 'EUR', amount: '1208.17', minor: '120817' },
      crypto: { currency: 'USDC_SOL', amount: '1286', decimals: 6, minor: '1286000000' },
      fee: { currency: 'EUR', amount: '12.2' },
      wallet: { address: 'H1cUTsMALg9AS3A2NTeS18sf14EfkYcJM2HY4LB2TUFR', network: 'solana' },
      payment_method: 'sepa_bank_transfer',
    });
  });

  testWithShared('a requote, whose currencies are words', () => {
    const { event } = eventInputOf(
      example('sell_transaction_requote_required.json', 'sell_transaction.requote_required'),
    );

    expect(event).toMatchObject({
      fiat: { currency: 'USD', amount: '950' },
      crypto: { currency: 'USDC', amount: '1000' },
    });
  });

  testWithShared('an identity check without its envelope', () => {
    const { event } = eventInputOf(example('identity_check_rejected_escalated_old.data.json', 'customer.kyc_rejected'));

    expect(event.identity).toEqual({
      check_id: 'e5e096aa-b0ed-42c5-ab43-58f9751dd9c1',
      level: '3',
      result: 'rejected',
      reject_type: 'retry',
      reject_labels: [],
      escalation_reasons: ['kyc_review'],
    });
  });

  test('the codes of what failed, the sentence at the top as a code too', () => {
    const { event } = eventInputOf(
      withData(
        '{"failureReason": "KYC rejected", "stages": [{"stage": "stage_four_delivery", "status": "failed", "failureReason": "error"}, null, 5]}',
      ),
    );

    expect(event).toMatchObject({
      failure_code: 'rejected_kyc',
      failure_codes: ['rejected_kyc', 'error'],
      failed_stages: ['stage_four_delivery'],
    });
  });

  test('every digit', () => {
    const { event } = eventInputOf(
      withData(
        '{"baseCurrency": {"code": "eur"}, "baseCurrencyAmount": 0.30000000000000004, "currency": {"code": "eth"}, "quoteCurrencyAmount": 1.234567890123456789}',
      ),
    );

    expect(event).toMatchObject({
      fiat: { amount: '0.30000000000000004' },
      crypto: { amount: '1.234567890123456789', minor: '1234567890123456789' },
    });
  });

  test.each([
    ['an amount of 1e21', '1e21', { amount: '1000000000000000000000' }, { 'event.fiat.minor': 'beyond 64 bits' }],
    ['an amount below zero', '-5', { amount: '-5', minor: '-500' }, {}],
    ['an amount as text', '"12.50"', { amount: '12.5', minor: '1250' }, {}],
    ['no amount', 'null', undefined, {}],
    ['an amount that is none', '"much"', undefined, { 'event.fiat': expect.stringContaining('no decimal') }],
    ['a list of amounts', '[5]', undefined, { 'event.fiat': 'the amount or its currency cannot be read' }],
    ['an amount without end', '1e400', undefined, { 'event.fiat': expect.stringContaining('no decimal') }],
  ])('%s', (_, amount, fiat, reasons) => {
    const { event, absent } = eventInputOf(
      withData(`{"baseCurrency": {"code": "eur"}, "baseCurrencyAmount": ${amount}}`),
    );

    if (fiat === undefined) expect(event.fiat).toBeUndefined();
    else expect(event.fiat).toMatchObject(fiat);
    expect(absent).toEqual(reasons);
  });

  test('nothing in a body that is no JSON', () => {
    expect(eventInputOf(stored(null)).event).toMatchObject({ id: 'e1', stages: [], failure_codes: [], fields: {} });
  });

  test('whatever the payload says: nothing makes it throw', () => {
    const data = fc.dictionary(
      fc.constantFrom(
        'baseCurrency',
        'currency',
        'baseCurrencyAmount',
        'stages',
        'failureReason',
        'walletAddress',
        'customerId',
        'data',
      ),
      fc.jsonValue(),
    );
    fc.assert(
      fc.property(
        data,
        fc.constantFrom('transaction.created', 'sell_transaction.created', 'swap.created', 'customer.kyc_updated'),
        (given, name) => {
          expect(eventInputOf(withData(JSON.stringify(given), name)).event.id).toBe('e1');
        },
      ),
    );
  });
});

describe('of rows', () => {
  test('the money of a transaction keeps its digits', () => {
    const row =
      '{"moonpay_transaction_id": "t1", "status": "completed", "fiat_currency": "eur", "fiat_amount": 12.50, "crypto_currency": "eth", "crypto_amount": 1.234567890123456789, "created_at": "2026-01-02T03:04:05.678901+01:00"}';

    expect(transactionInput(row)).toMatchObject({
      known: true,
      fiat: { amount: '12.5', minor: '1250' },
      crypto: { amount: '1.234567890123456789' },
      created_at: '2026-01-02T02:04:05.678Z',
    });
  });

  test('a level is a number', () => {
    expect(customerInput('{"moonpay_customer_id": "c1", "kyc_checked_level": 3, "kyc_result": null}')).toMatchObject({
      known: true,
      id: 'c1',
      kyc_checked_level: 3,
    });
  });

  test('what is not there is not known', () => {
    expect(customerInput(null)).toEqual({ known: false });
    expect(transactionInput(null)).toEqual({ known: false });
  });
});
