import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface DeliveryBacklog {
  /** Due for more than a minute: nobody takes them. */
  readonly overdue: number;
  /** Of the oldest of those; null when there is none. */
  readonly overdueSeconds: number | null;
  readonly held: number;
  readonly exhausted: number;
  readonly failedEndpoints: number;
}

export async function readDeliveryBacklog(db: Db): Promise<DeliveryBacklog> {
  const { rows } = await sql<DeliveryBacklog>`
    select count(*) filter (where is_overdue) as overdue,
      (extract(epoch from now() - min(next_attempt_at) filter (where is_overdue)))::integer as "overdueSeconds",
      count(*) filter (where status = 'held') as held,
      count(*) filter (where status = 'exhausted') as exhausted,
      (select count(*) from public.moonpay_webhook_config where status = 'failed' and deleted_at is null) as "failedEndpoints"
    from (
      select status, next_attempt_at, status = 'pending' and next_attempt_at < now() - interval '1 minute' as is_overdue
      from moonguard.deliveries where status in ('pending', 'held', 'exhausted')
    ) open
  `.execute(db);
  return rows[0] ?? { overdue: 0, overdueSeconds: null, held: 0, exhausted: 0, failedEndpoints: 0 };
}
