import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { becomeOfficer } from '../../bench/alerts/officer.ts';
import { addAlerts } from '../../bench/alerts/rows.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { transactionOf } from '../../src/database/transaction.ts';
import type { ReadOptions } from '../../src/input/writeOptions.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const ALERTS = 20_000;

let database: TestPostgres;
let compliance: ComplianceService;
/** With auto_explain: the plans of all that runs, also inside functions, come as notices. */
let client: Client;
let notices: string[] = [];
beforeAll(async () => {
  database = await openTestDatabase('postgres');
  compliance = new ComplianceService({ database });
  await addAlerts(database.url, ALERTS);
  client = new Client(database.url);
  await client.connect();
  client.on('notice', ({ message }) => notices.push(message ?? ''));
  await client.query(`load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_nested_statements = on;
    set auto_explain.log_level = notice`);
}, 120_000);
afterAll(async () => {
  await client.end();
  await database.close();
});

type Question = (options: ReadOptions) => Promise<unknown>;

async function plansOf(who: 'owner' | 'officer', question: Question): Promise<string> {
  await client.query('begin');
  const transaction = transactionOf(client);
  if (who === 'officer') await becomeOfficer(transaction);
  notices = [];
  await question({ transaction });
  await client.query('rollback');
  return notices.join('\n');
}

const undecided = ['open', 'in_review', 'escalated'] as const;
const questions: readonly [index: string, Question][] = [
  ['triggered_at_idx', (options) => compliance.listAlerts({}, options)],
  ['created_at_idx', (options) => compliance.listAlerts({ sort: 'raised' }, options)],
  [
    'created_at_idx',
    (options) => compliance.listAlerts({ sort: 'raised', createdFrom: new Date(), severity: 'critical' }, options),
  ],
  ['status_idx', (options) => compliance.listAlerts({ status: 'escalated' }, options)],
  ['severity_idx', (options) => compliance.listAlerts({ severity: 'critical' }, options)],
  ['alert_type_idx', (options) => compliance.listAlerts({ alertType: 'address_verification' }, options)],
  ['risk_level_idx', (options) => compliance.listAlerts({ riskLevel: 'extreme' }, options)],
  ['risk_score_idx', (options) => compliance.listAlerts({ minRiskScore: 100 }, options)],
  ['due_idx', (options) => compliance.listAlerts({ sort: 'due', status: [...undecided] }, options)],
  ['due_idx', (options) => compliance.listAlerts({ sort: 'due' }, options)],
  ['due_at_idx', (options) => compliance.listAlerts({ dueFrom: new Date(0), dueTo: new Date(1) }, options)],
  [
    'resolved_at_idx',
    (options) => compliance.listAlerts({ resolvedFrom: new Date(0), resolvedTo: new Date(1) }, options),
  ],
  ['customer_id_idx', (options) => compliance.listAlerts({ customerId: 'customer_7' }, options)],
  ['transaction_id_idx', (options) => compliance.listAlerts({ transactionId: 'tx_7' }, options)],
  ['entity_idx', (options) => compliance.listAlerts({ entityId: 'tx_7' }, options)],
  ['wallet_address_idx', (options) => compliance.listAlerts({ walletAddress: 'wallet_7' }, options)],
  ['correlation_id_idx', (options) => compliance.listAlerts({ correlationId: 'corr_7' }, options)],
  ['external_reference_idx', (options) => compliance.listAlerts({ externalReference: 'ext_7' }, options)],
  ['dedupe_key_idx', (options) => compliance.listAlerts({ dedupeKey: 'rule:7' }, options)],
  ['group_id_idx', (options) => compliance.listAlerts({ groupId: '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f' }, options)],
  ['reviewed_by_idx', (options) => compliance.listAlerts({ reviewedBy: 'nobody' }, options)],
  ['resolved_by_idx', (options) => compliance.listAlerts({ resolvedBy: 'nobody' }, options)],
  ['escalated_to_idx', (options) => compliance.listAlerts({ escalatedTo: 'nobody' }, options)],
  ['assigned_to_idx', (options) => compliance.listAlerts({ assignedTo: 'nobody' }, options)],
  ['nobodys_idx', (options) => compliance.listAlerts({ assignedTo: null, status: 'open' }, options)],
  ['queue_idx', (options) => compliance.listAlerts({ queue: 'none' }, options)],
  ['source_idx', (options) => compliance.listAlerts({ source: 'nowhere' }, options)],
  ['breached_idx', (options) => compliance.listAlerts({ breached: true }, options)],
  ['suppressed_idx', (options) => compliance.listAlerts({ suppressed: true }, options)],
  ['archived_idx', (options) => compliance.listAlerts({ archived: true }, options)],
  ['merged_idx', (options) => compliance.listAlerts({ merged: true }, options)],
  ['customer_id_idx', (options) => compliance.countAlerts({ customerId: 'customer_7' }, options)],
  ['worklist_idx', (options) => compliance.countAlerts({ status: [...undecided] }, options)],
  ['worklist_idx', (options) => compliance.countAlerts({ overdue: true }, options)],
];

test.each(['owner', 'officer'] as const)(
  'lists and counts use the index that is there for them, as %s',
  async (who) => {
    const wrong: string[] = [];
    for (const [index, question] of questions) {
      const plans = await plansOf(who, question);
      if (!plans.includes(`moonpay_compliance_alerts_${index}`) || /Seq Scan on moonpay_compliance_alerts/.test(plans))
        wrong.push(`${index}:\n${plans}`);
    }
    expect(wrong.join('\n')).toBe('');
  },
);

test.each(['owner', 'officer'] as const)(
  'a search finds rare words by their index and walks back in time for frequent ones, as %s',
  async (who) => {
    const rare = await plansOf(who, (options) => compliance.searchAlerts('R77', {}, options));
    expect(rare).toMatch(/Bitmap Index Scan on alert_search_words_idx/);
    const frequent = await plansOf(who, (options) => compliance.searchAlerts('screening', {}, options));
    expect(frequent).toMatch(/Index Scan Backward using alert_search_triggered_at_idx/);
    for (const plans of [rare, frequent])
      expect(plans).not.toMatch(/Seq Scan on (alert_search|moonpay_compliance_alerts)/);
  },
);

test.each(['owner', 'officer'] as const)('counts for a dashboard read no alerts, as %s', async (who) => {
  const plans = await plansOf(who, async (options) => {
    await compliance.getCounts(options);
    await compliance.getStats(options);
    await compliance.getTrend({}, options);
  });
  expect(plans).toMatch(/alert_counts/);
  expect(plans).toMatch(/alert_day_counts/);
  expect(plans).not.toMatch(/moonpay_compliance_alerts/);
});
