import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isSubscription, nameEvent, subscriptionPatterns } from './eventName.ts';

const none = undefined;

function nameOf(type: string, status?: string, result?: string): string {
  return nameEvent({ type, status, result }).name;
}

describe('names', () => {
  test.each([
    ['transaction_created', 'waitingPayment', none, 'transaction.created'],
    ['transaction_created', 'completed', none, 'transaction.completed'],
    ['transaction_created', 'failed', none, 'transaction.failed'],
    ['transaction_updated', 'waitingAuthorization', none, 'transaction.updated'],
    ['transaction_updated', 'completed', none, 'transaction.completed'],
    ['transaction_updated', 'failed', none, 'transaction.failed'],
    ['transaction_updated', none, none, 'transaction.updated'],
    ['transaction_failed', 'failed', none, 'transaction.failed'],
    ['transaction_failed', 'completed', none, 'transaction.failed'],
    ['transaction_failed', none, none, 'transaction.failed'],
    ['sell_transaction_created', 'waitingForDeposit', none, 'sell_transaction.created'],
    ['sell_transaction_updated', 'pending', none, 'sell_transaction.updated'],
    ['sell_transaction_updated', 'completed', none, 'sell_transaction.completed'],
    ['sell_transaction_updated', 'failed', none, 'sell_transaction.failed'],
    ['sell_transaction_updated', 'requoteRequired', none, 'sell_transaction.requote_required'],
    ['sell_transaction_created', 'completed', none, 'sell_transaction.completed'],
    ['sell_transaction_created', 'failed', none, 'sell_transaction.failed'],
    ['sell_transaction_created', 'requoteRequired', none, 'sell_transaction.requote_required'],
    ['sell_transaction_failed', 'completed', none, 'sell_transaction.failed'],
    ['sell_transaction_requote_required', 'pending', none, 'sell_transaction.requote_required'],
    ['swap_transaction_created', none, none, 'swap.created'],
    ['swap_transaction_completed', none, none, 'swap.completed'],
    ['swap_transaction_failed', 'completed', none, 'swap.failed'],
    ['swap_quote_expired', none, none, 'swap.quote_expired'],
    ['swap_quote_invalid', none, none, 'swap.quote_invalid'],
    ['swap_deposit_wallet_created', none, none, 'swap.deposit_wallet_created'],
    ['swap_deposit_received', none, none, 'swap.deposit_received'],
    ['swap_asset_delivery_initiated', none, none, 'swap.asset_delivery_initiated'],
    ['swap_refund_asset_delivery_initiated', none, none, 'swap.refund_asset_delivery_initiated'],
    ['swap_refund_completed', none, none, 'swap.refund_completed'],
    ['identity_check_updated', 'completed', 'clear', 'customer.kyc_completed'],
    ['identity_check_updated', 'pending', 'clear', 'customer.kyc_updated'],
    ['identity_check_updated', 'completed', 'rejected', 'customer.kyc_rejected'],
    ['identity_check_updated', 'pending', 'rejected', 'customer.kyc_rejected'],
    ['identity_check_updated', 'completed', none, 'customer.kyc_updated'],
    ['identity_check_updated', 'initiated', none, 'customer.kyc_updated'],
  ])('%s, status %s, result %s → %s', (type, status, result, name) => {
    expect(nameEvent({ type, status, result })).toMatchObject({ name, isHandled: true });
  });

  test.each([
    ['transaction_abandoned', 'moonpay.transaction_abandoned'],
    ['chargeback', 'moonpay.chargeback'],
    ['virtual_account_bank_status_updated', 'moonpay.virtual_account_bank_status_updated'],
    ['Transaction-Created!', 'moonpay.transaction_created_'],
    ['compliance.alert', 'moonpay.compliance_alert'],
    ['swap_new_thing', 'swap.new_thing'],
    ['swap_New.Thing', 'swap.new_thing'],
    ['swap_', 'moonpay.swap_'],
    ['', 'moonpay.unknown'],
    ['  ', 'moonpay.unknown'],
    ['constructor', 'moonpay.constructor'],
    ['__proto__', 'moonpay.__proto__'],
    ['x'.repeat(101), `moonpay.${'x'.repeat(100)}`],
  ])('the unknown type %j → %s', (type, name) => {
    expect(nameEvent({ type, status: 'completed', result: none })).toMatchObject({ name, isHandled: false });
  });

  test('a value with white space around it is the value', () => {
    expect(nameOf('transaction_updated ', 'completed ')).toBe('transaction.completed');
    expect(nameOf('identity_check_updated', ' completed', 'clear\n')).toBe('customer.kyc_completed');
  });

  test.each([
    ['transaction_updated', 'buy'],
    ['sell_transaction_updated', 'sell'],
    ['swap_refund_completed', 'swap'],
    ['swap_new_thing', 'swap'],
    ['identity_check_updated', 'identity'],
    ['user_registered', 'other'],
  ])('%s is of the kind %s', (type, kind) => {
    expect(nameEvent({ type, status: none, result: none }).kind).toBe(kind);
  });

  test('of whatever type can be subscribed to, and never pass for our own compliance or policy events', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), fc.boolean(), (text, isSwap) => {
        const name = nameOf(isSwap ? `swap_${text}` : text);
        expect(isSubscription(name)).toBe(true);
        expect(name).toMatch(/^(?:moonpay|swap|transaction|sell_transaction|customer)\./);
        expect(name.length).toBeLessThanOrEqual(108);
      }),
    );
  });
});

describe('subscriptions', () => {
  test.each([
    ['transaction.completed', ['transaction.completed', 'transaction.*', '*']],
    ['webhook.suspended', ['webhook.suspended', 'webhook.*', '*']],
    ['compliance.alert_opened', ['compliance.alert_opened']],
    ['policy.violation.detected', ['policy.violation.detected']],
  ])('%s is matched by %j', (name, patterns) => {
    expect(subscriptionPatterns(name)).toEqual(patterns);
    expect(patterns.every(isSubscription)).toBe(true);
  });

  test.each(['*', 'transaction.*', 'swap.quote_expired', 'webhook.delivery.exhausted', 'compliance.alert_opened'])(
    '%s is well formed',
    (text) => {
      expect(isSubscription(text)).toBe(true);
    },
  );

  test.each([
    '',
    'transaction',
    'transaction.',
    '.completed',
    '**',
    '*.completed',
    'transaction.*.x',
    'transaction.x.*',
    'transaction.comp*',
    'Transaction.completed',
    'transaction.completed ',
    'transaction.completed\n',
    'transaction completed',
    'compliance.*',
    'policy.*',
  ])('%j is refused', (text) => {
    expect(isSubscription(text)).toBe(false);
  });
});
