import type { PolicyDocument, Rule } from '../../src/policy/document.ts';
import type { PolicyService } from '../../src/policy/PolicyService.ts';

const alert = (title: string): NonNullable<Rule['alert']> => ({
  type: 'transaction_monitoring',
  severity: 'medium',
  title,
});

/**
 * Policies with every outcome, mode and log level, over what MoonPay's events say. Some of their rules err on most events.
 * They use the list `risky_countries`.
 */
const samplePolicies: readonly PolicyDocument[] = [
  {
    id: 'sample_any',
    name: 'Any of several',
    type: 'transaction_limit',
    applies_to: { events: ['transaction.*', 'sell_transaction.*', 'request.*'] },
    log: 'every_rule',
    lists: ['risky_countries'],
    aggregates: [
      { name: 'spent_24h', function: 'sum', of: 'fiat', key: 'customer', window: '24h' },
      { name: 'payments_24h', function: 'count', key: 'customer', window: '24h' },
      { name: 'cards_7d', function: 'distinct', of: 'card', key: 'customer', window: '7d' },
      { name: 'least_7d', function: 'min', of: 'crypto', key: 'wallet', window: '7d', current: 'exclude' },
    ],
    rules: [
      {
        id: 'large',
        when: 'event.fiat.minor >= 50000',
        alert: alert('A large payment'),
        description: '{event.fiat.amount} {event.fiat.currency} are a lot',
      },
      {
        id: 'often',
        when: 'aggregates.payments_24h > 3 || aggregates.cards_7d > 2',
        outcome: 'approval_required',
        approval: { expires_in: '48h' },
      },
      {
        id: 'risky',
        when: 'has(event.country) && event.country in lists.risky_countries',
        outcome: 'block',
        alert: { ...alert('A risky country'), severity: 'high', key: 'risky:{event.customer_id}' },
      },
      { id: 'smallest', when: 'compareDecimals(aggregates.least_7d, "0.01") < 0', outcome: 'allow' },
      { id: 'spent', when: 'aggregates.spent_24h > 100000 && event.fiat.currency == "EUR"', outcome: 'review' },
    ],
  },
  {
    id: 'sample_all',
    name: 'All together',
    type: 'risk_assessment',
    applies_to: {
      events: ['*'],
      when: 'event.failure_codes.size() > 0 || event.stages.exists(s, s.status == "failed")',
    },
    evaluation: { mode: 'all' },
    rules: [
      {
        id: 'failed',
        when: 'event.failure_code != "cancelled"',
        outcome: 'block',
        alert: alert('Failed: {event.failure_code}'),
      },
      { id: 'by_card', when: 'event.payment_method.startsWith("credit")', on_error: 'block' },
    ],
  },
  {
    id: 'sample_first',
    name: 'The first that fits',
    type: 'kyc_policy',
    applies_to: { events: ['customer.*'] },
    log: 'every_rule',
    evaluation: { mode: 'first' },
    rules: [
      { id: 'clear', when: 'event.identity.result == "clear"', outcome: 'allow' },
      {
        id: 'rejected',
        when: 'event.identity.result == "rejected"',
        outcome: 'review',
        alert: { ...alert('Check {event.identity.check_id}'), type: 'kyc_verification' },
      },
      { id: 'unknown', when: '!customer.known || customer.kyc_checked_level < 2', outcome: 'review' },
    ],
  },
  {
    id: 'sample_score',
    name: 'A score',
    type: 'aml_policy',
    applies_to: { events: ['transaction.created', 'transaction.completed'] },
    evaluation: {
      mode: 'score',
      thresholds: [
        { at: 20, outcome: 'review' },
        { at: 40, outcome: 'block', alert: alert('A high score') },
      ],
    },
    rules: [
      { id: 'new_customer', when: 'customer.known && now - customer.created_at < duration("24h")', score: 20 },
      { id: 'at_night', when: 'event.at.getHours("Europe/Paris") < 6', score: 10 },
      { id: 'crypto', when: 'has(event.crypto) && event.crypto.currency in ["XMR", "BTC"]', score: 20 },
    ],
  },
];

/** Tried out without effect. */
const shadowPolicy: PolicyDocument = {
  id: 'sample_shadow',
  name: 'On trial',
  type: 'compliance_rule',
  applies_to: { events: ['*'] },
  retention: { class: 'trial', days: 90 },
  rules: [{ id: 'always', when: 'event.name != ""', outcome: 'block', alert: alert('Never raised') }],
};

/** Makes the sample policies active, beside one in shadow, with the list that they use. */
export async function publishSamplePolicies({ lists, versions }: PolicyService): Promise<void> {
  await lists.create({ name: 'risky_countries' });
  await lists.add('risky_countries', ['BRA']);
  for (const document of samplePolicies) {
    await versions.saveDraft(document, { actor: 'author' });
    await versions.publish(document.id, undefined, { actor: 'publisher' });
  }
  await versions.saveDraft(shadowPolicy, { actor: 'author' });
  await versions.shadow(shadowPolicy.id, undefined, { actor: 'publisher' });
}
