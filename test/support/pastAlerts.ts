import { sql } from 'kysely';
import type { Database } from '../../src/database/database.ts';

/** Writes alerts as they are given, by the columns of the table: nothing follows from them, words and counters apart. */
export async function addPastAlerts(
  database: Database,
  alerts: readonly Readonly<Record<string, unknown>>[],
): Promise<string[]> {
  return database.transaction(async (transaction) => {
    await sql`alter table moonpay_compliance_alerts disable trigger user`.execute(transaction);
    const { rows } = await sql<{ id: string }>`
      insert into moonpay_compliance_alerts
      select alert.* from jsonb_array_elements(${JSON.stringify(alerts)}::jsonb) with ordinality as given (alert, place)
      cross join lateral jsonb_populate_record(null::moonpay_compliance_alerts, ${JSON.stringify(DEFAULTS)}::jsonb || jsonb_build_object(
        'id', moonguard.uuid_v7(), 'alert_id', 'alert_' || place || moonguard.uuid_v7(), 'triggered_at', now(), 'created_at', now(),
        'updated_at', now()) || given.alert) as alert
      order by place
      returning id
    `.execute(transaction);
    await sql`alter table moonpay_compliance_alerts enable trigger user`.execute(transaction);
    await sql`select moonguard.index_alert_words()`.execute(transaction);
    await sql`select moonguard.recount_alerts()`.execute(transaction);
    return rows.map(({ id }) => id);
  });
}

const DEFAULTS = {
  alert_type: 'aml_screening',
  severity: 'medium',
  status: 'open',
  title: 'Suspicion',
  details: {},
  recommended_actions: [],
  auto_generated: false,
  related_alerts: [],
  metadata: {},
  occurrence_count: 1,
  version: 1,
  deadline_step: 'none',
};
