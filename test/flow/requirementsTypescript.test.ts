import { stripTypeScriptTypes } from 'node:module';
import { sql } from 'kysely';
import { afterEach, beforeEach, expect } from 'vitest';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { requirementsCode, testWithShared } from '../support/besideCheckout.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

type Scope = Record<string, unknown>;

async function run(code: string, scope: Scope): Promise<void> {
  const AsyncFunction = (async () => {}).constructor as new (
    ...parts: string[]
  ) => (...values: unknown[]) => Promise<void>;
  await new AsyncFunction(...Object.keys(scope), stripTypeScriptTypes(code))(...Object.values(scope));
}

forEachDatabase('the TypeScript of the requirements', (open) => {
  let database: TestDatabase;
  let moonguard: Moonguard;

  beforeEach(async () => {
    database = await open();
    moonguard = await createMoonguard({ database, masterKey: Buffer.alloc(32, 7).toString('base64') });
  });
  afterEach(async () => {
    await moonguard.stop();
    await database.close();
  });

  testWithShared('runs as written', async () => {
    const { id: alertId } = await moonguard.compliance.createAlert({
      alertType: 'risk_threshold',
      severity: 'low',
      title: 'Earlier',
    });
    const { id: webhookId } = await moonguard.webhooks.createWebhook({
      url: 'https://example.com/earlier',
      events: ['*'],
      environment: 'production',
    });
    const scope: Scope = {
      webhookService: moonguard.webhooks,
      complianceService: moonguard.compliance,
      policyService: moonguard.policies,
      webhookId,
      alertId,
      success: false,
      errorMessage: 'HTTP 500',
    };
    const blocks = requirementsCode('typescript');
    expect(blocks).toHaveLength(3);
    for (const block of blocks) await run(block, scope);

    const rows = async (table: string) =>
      (await sql`select * from ${sql.table(table)} order by id`.execute(database.db)).rows;
    expect(await rows('moonpay_webhook_config')).toMatchObject([
      { delivery_attempts_count: 1, failed_deliveries_count: 1, last_failure_reason: 'HTTP 500' },
      {
        url: 'https://your-domain.com/webhooks/moonpay',
        events: ['transaction.completed', 'customer.kyc_completed'],
        environment: 'production',
      },
    ]);
    expect(await rows('moonpay_compliance_alerts')).toMatchObject([
      { status: 'resolved', resolution_notes: 'Manual review completed', resolved_by: 'system' },
      {
        alert_type: 'aml_screening',
        severity: 'high',
        customer_id: 'customer_123',
        risk_score: 85,
        risk_level: 'extreme',
        title: 'High Risk Customer Detected',
        status: 'open',
      },
      { alert_type: 'policy_violation', title: 'Policy violated: transaction_limit_policy', status: 'open' },
    ]);
    // The default policies, which are installed before anything else, are in the log too.
    expect((await rows('moonpay_policy_logs')).slice(-2)).toMatchObject([
      {
        policy_id: 'kyc_policy_001',
        policy_type: 'kyc_policy',
        action_type: 'rule_triggered',
        entity_type: 'customer',
        entity_id: 'customer_123',
        execution_status: 'success',
      },
      {
        policy_id: 'transaction_limit_policy',
        policy_type: 'transaction_limit',
        action_type: 'violation_detected',
        violation_details: { attemptedAmount: 50000, limit: 10000 },
      },
    ]);
  });
});
