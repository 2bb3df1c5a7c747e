import { sql } from 'kysely';
import { connectDatabase } from '../../src/database/connect.ts';
import type { Db } from '../../src/database/database.ts';

/** Made in one statement; a million in one would keep all of it in memory. */
const AT_ONCE = 100_000;

/** For words and indexes of a million on a slow machine. */
const HOUR_MS = 60 * 60 * 1000;

/** Customers with more alerts each within the last weeks than one is linked with. */
export const BUSY_CUSTOMERS = 50;

/**
 * Of whom an alert is, by luck from 0 to 1. Alerts gather: a tenth of the customers has a fifth of all; of a million most have two
 * to six in the year, one has three hundred.
 */
export function customerAt(luck: number, count: number): string {
  return `customer_${Math.floor((luck ** GATHERING * count) / ALERTS_A_CUSTOMER)}`;
}
const GATHERING = 1.5;
/** On average, within the year. */
const ALERTS_A_CUSTOMER = 5;

/**
 * Makes so many alerts of the last year, 3 % of them undecided, most of these young, with all that goes with them: words,
 * counters, hits, history, links. Alert `i` is `alert_<i>` of `tx_<i>`, the oldest is the first.
 */
export async function addAlerts(databaseUrl: string, count: number): Promise<void> {
  const database = await connectDatabase({ databaseUrl, statementTimeoutMs: 0, silenceTimeoutMs: HOUR_MS });
  await addTo(database.db, count);
  await database.close();
}

async function addTo(db: Db, count: number): Promise<void> {
  // What the triggers do one by one is done at once below.
  await withoutTriggers(db, async () => {
    for (let first = 1; first <= count; first += AT_ONCE) {
      const last = Math.min(first + AT_ONCE - 1, count);
      await addRows(db, { first, last, count });
    }
  });
  await sql`select moonguard.index_alert_words()`.execute(db);
  await sql`select moonguard.recount_alerts()`.execute(db);
  for (const table of [
    'public.moonpay_compliance_alerts',
    'moonguard.alert_search',
    'moonguard.alert_hits',
    'moonguard.alert_timeline',
  ])
    await sql`vacuum (analyze) ${sql.table(table)}`.execute(db);
}

async function withoutTriggers(db: Db, work: () => Promise<void>): Promise<void> {
  const tables = ['public.moonpay_compliance_alerts', 'moonguard.alert_hits', 'moonguard.alert_timeline'];
  for (const table of tables) await sql`alter table ${sql.table(table)} disable trigger user`.execute(db);
  await work();
  for (const table of tables) await sql`alter table ${sql.table(table)} enable trigger user`.execute(db);
}

/** A word of the list, not all equally often. */
const oneOf = (words: readonly string[], luck: string) =>
  sql`(${sql.lit(`{${words.join(',')}}`)}::text[])[1 + floor(${words.length} * power(${sql.ref(luck)}, 2))]`;

const types = [
  'transaction_monitoring',
  'sanctions_check',
  'aml_screening',
  'kyc_verification',
  'policy_violation',
  'pep_screening',
];
/** One in two hundred is critical. */
const severities = Object.entries({ low: 60, medium: 30, high: 9, critical: 1 }).flatMap(([word, times]) =>
  Array.from({ length: times }, () => word),
);
const findings = [
  'Screening hit',
  'Unusual transaction',
  'Structuring suspected',
  'Identity rejected',
  'Velocity exceeded',
  'Chargeback',
];
const patterns = [
  'below the limit',
  'several wallets',
  'new device',
  'mismatched address',
  'dormant account',
  'mixer involved',
];
const people = Array.from({ length: 40 }, (_, person) => `person_${person}`);
const syllables = [
  'ba',
  'ke',
  'lo',
  'mi',
  'nu',
  'ra',
  'se',
  'ti',
  'vo',
  'za',
  'dor',
  'fen',
  'gal',
  'hus',
  'jin',
  'kol',
  'mer',
  'nak',
  'pel',
  'wit',
];
/** One of 8,000 names, each of them as often. */
const name = sql`initcap(${syllable('luck_2')} || ${syllable('luck_3')} || ${syllable('luck_4')})`;

function syllable(luck: string) {
  return sql`(${sql.lit(`{${syllables.join(',')}}`)}::text[])[1 + floor(${syllables.length} * ${sql.ref(luck)})]`;
}

async function addRows(db: Db, { first, last, count }: Record<'first' | 'last' | 'count', number>): Promise<void> {
  await sql`
    with lucky as (
      select i, now() - interval '365 days' * (1 - i::double precision / ${count}::integer) as at,
        random() as luck_1, random() as luck_2, random() as luck_3, random() as luck_4, random() as luck_5, random() as luck_6
      from generate_series(${first}::integer, ${last}::integer) as i
    ), thought as (
      select *, case when luck_1 > case when at > now() - interval '20 days' then 0.4 else 0.007 end then
          case when luck_5 < 0.7 then 'dismissed' else 'resolved' end
        when luck_5 < 0.6 then 'open' when luck_5 < 0.9 then 'in_review' else 'escalated' end as status,
        ${oneOf(people, 'luck_6')} as person
      from lucky
    ), alert as (
      insert into moonpay_compliance_alerts (id, alert_id, alert_type, severity, peak_severity, status, customer_id, transaction_id,
        entity_type, entity_id, risk_score, risk_level, title, description, details, assigned_to, reviewed_by, resolved_by, escalated_to,
        resolution_notes, auto_generated, source, external_reference, wallet_address, correlation_id, related_alerts, metadata, queue,
        group_id, triggered_at, created_at, updated_at, first_reviewed_at, reviewed_at, resolved_at, due_at, breached_at, archived_at,
        deadline_step, next_step_at, dedupe_key)
      select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '7' || substr(gen_random_uuid()::text, 16))::uuid,
        'alert_' || i, ${oneOf(types, 'luck_2')}, ${oneOf(severities, 'luck_3')}, ${oneOf(severities, 'luck_3')}, status,
        case when at > now() - interval '20 days' and luck_4 < 0.02 then 'busy_' || i % ${sql.lit(BUSY_CUSTOMERS)}
          else 'customer_' || floor(power(luck_4, ${sql.lit(GATHERING)}) * ${count} / ${sql.lit(ALERTS_A_CUSTOMER)}) end,
        'tx_' || i, 'transaction', 'tx_' || i, floor(100 * power(luck_3, 2)), moonguard.risk_level(floor(100 * power(luck_3, 2))::integer),
        ${oneOf(findings, 'luck_5')} || ': ' || ${name},
        ${oneOf(patterns, 'luck_1')} || ', reference R' || i, jsonb_build_object('rule', 'rule_' || floor(500 * luck_6), 'amount', i),
        case when status <> 'open' or luck_2 < 0.5 then person end, case when status <> 'open' then person end,
        case when status in ('resolved', 'dismissed') then person end, case when status = 'escalated' then 'head' end,
        case when status in ('resolved', 'dismissed') then 'Checked the documents of ' || ${name} end,
        luck_1 < 0.98, case when luck_1 < 0.98 then 'rules' else 'import' end, case when luck_2 < 0.1 then 'ext_' || i end,
        case when luck_3 < 0.3 then 'wallet_' || floor(luck_1 * ${count} / 3) end, 'corr_' || i / 2,
        case when i % 20 = 0 then array['alert_' || i - 1] when i % 20 = 19 then array['alert_' || i + 1] else '{}' end,
        '{"environment": "production"}', case when luck_2 < 0.3 then 'sanctions' else 'fraud' end, gen_random_uuid(),
        at, at, at, case when status <> 'open' then at + interval '1 hour' * luck_4 end,
        case when status <> 'open' then at + interval '1 hour' * luck_4 end,
        case when status in ('resolved', 'dismissed') then at + interval '1 hour' + interval '2 days' * luck_4 end,
        at + interval '3 days', case when luck_4 > 0.98 then at + interval '3 days' end,
        case when status in ('resolved', 'dismissed') and at < now() - interval '330 days' then at + interval '330 days' end,
        case when status in ('resolved', 'dismissed') then 'none' when luck_4 > 0.98 then 'breached' else 'running' end,
        case when status not in ('resolved', 'dismissed') and luck_4 <= 0.98 then greatest(at + interval '2 days', now() + interval '1 day') end,
        case when luck_1 < 0.5 then 'rule:' || i end
      from thought order by i
      returning id, severity, status, title
    ), hit as (
      insert into moonguard.alert_hits (alert_id, is_first, severity, title, raised_by) select id, true, severity, title, 'rules' from alert
    )
    insert into moonguard.alert_timeline (alert_id, alert_version, actor, action, to_status, before, after)
    select id, 1, 'rules', 'created', status, '{}', '{}' from alert
  `.execute(db);
}
