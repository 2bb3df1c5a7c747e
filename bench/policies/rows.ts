import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import { webhookBody } from '../payload.ts';
import { AMOUNTS } from './rules.ts';

const CUSTOMERS = 200;
const HISTORY_EACH = 50;

/** Spreads the amounts evenly over the events: coprime to {@link AMOUNTS}. */
const STEP = 7_919;

/** In minor units. */
export function amountOf(place: number): number {
  return (place * STEP) % AMOUNTS;
}

export function customerOf(place: number): string {
  return `customer_${place % CUSTOMERS}`;
}

/** Events of the last week that are decided already, with what aggregates know of them. */
export async function addHistory(db: Db): Promise<void> {
  await addEvents(db, CUSTOMERS * HISTORY_EACH, 'decided');
  await sql`
    select moonguard.record_facts_of(array(
      select id from public.moonpay_webhook_events e where not exists (select from moonguard.event_facts f where f.event_id = e.id)
    ))
  `.execute(db);
  await sql`vacuum (analyze) public.moonpay_webhook_events, moonguard.event_facts`.execute(db);
}

/** Payments, taking turns among the customers: undecided ones of now, or decided ones spread over the last week. */
export async function addEvents(db: Db, count: number, as: 'undecided' | 'decided'): Promise<void> {
  const isDecided = as === 'decided';
  await sql`
    with made as (
      select moonguard.uuid_v7() as id, place,
        now() - case when ${isDecided}::boolean then place * interval '7 days' / ${count}::integer else '0' end as at
      from generate_series(0, ${count - 1}::integer) as place
    )
    insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name,
      dedupe_key, entity_type, entity_id, occurred_at, received_at, processed, processed_at, sequence)
    select id, 'sandbox', 't=0,s=0', '{}', body, 'transaction_created', 'transaction.created', id::text, 'transaction', id::text,
      at, at, ${isDecided}::boolean, case when ${isDecided}::boolean then at end, nextval('moonguard.event_sequence')
    from made cross join lateral (
      select jsonb_set(${webhookBody('')}::jsonb, '{data}', ${webhookBody('')}::jsonb -> 'data' || jsonb_build_object(
        'id', id, 'customerId', 'customer_' || place % ${CUSTOMERS}::integer, 'cardId', 'card_' || place % ${CUSTOMERS * 3}::integer,
        'walletAddress', 'wallet_' || place % ${CUSTOMERS * 2}::integer,
        'baseCurrencyAmount', ((place * ${STEP}::bigint) % ${AMOUNTS}::integer)::numeric / 100)) as body
    ) as filled
    order by place
  `.execute(db);
}

export interface Written {
  readonly decisions: number;
  readonly ruleRows: number;
  readonly alerts: number;
}

/** What the decisions so far left. */
export async function countWritten(db: Db): Promise<Written> {
  const { rows } = await sql<Written>`
    select count(*) filter (where inputs is not null) as decisions, count(*) filter (where policy_id like 'bench%') as "ruleRows",
      (select count(*) from public.moonpay_compliance_alerts) as alerts
    from public.moonpay_policy_logs where decision_id is not null
  `.execute(db);
  return rows[0] ?? { decisions: 0, ruleRows: 0, alerts: 0 };
}
