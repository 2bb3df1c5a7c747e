import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';
import type { DecisionInputs } from '../inputs.ts';

export interface BacktestEvent {
  readonly id: string;
  readonly environment: Environment;
  readonly event_name: string;
  readonly event_type: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly sequence: number;
  readonly at: Date;
  readonly received_at: Date;
  /** With the digits of its numbers; null where it is no JSON. */
  readonly json: string | null;
  /** False: retention has removed the body. */
  readonly has_body: boolean;
  /** What was known when it was decided; null: there is no record. */
  readonly recorded: Pick<DecisionInputs, 'customer' | 'transaction' | 'waivers'> | null;
}

/** The next events that a backtest is about, in the order of their ids. */
export async function listBacktestEvents(db: Db, backtestId: string, limit: number): Promise<BacktestEvent[]> {
  const { rows } = await sql<BacktestEvent>`
    select e.id, e.environment, e.event_name, e.event_type, e.entity_type, e.entity_id, e.sequence,
      coalesce(e.occurred_at, e.received_at) as at, e.received_at, e.event_data::text as json,
      e.raw_body is not null as has_body, recorded.inputs as recorded
    from moonguard.backtests b
    cross join lateral (
      select * from public.moonpay_webhook_events e
      where e.id > b.after_event_id and e.id <= b.last_event_id and e.dedupe_key is not null and not e.is_late
        and (b.environment is null or e.environment = b.environment)
        and (b.since is null or e.received_at >= b.since) and (b.until is null or e.received_at < b.until)
      order by e.id limit ${limit}
    ) e
    left join lateral (
      select jsonb_build_object('customer', l.inputs -> 'customer', 'transaction', l.inputs -> 'transaction',
        'waivers', l.inputs -> 'waivers') as inputs
      from public.moonpay_policy_logs l
      -- A decision comes after its event: the months before are not searched.
      where l.correlation_id = 'evt_' || e.id and l.policy_id = 'moonguard_decision' and l.executed_at >= e.received_at
      limit 1
    ) recorded on true
    where b.id = ${backtestId}
    order by e.id
  `.execute(db);
  return rows;
}
