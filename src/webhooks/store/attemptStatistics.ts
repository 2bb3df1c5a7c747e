import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface DeliveryStatistics {
  /** Requests made. */
  readonly attempts: number;
  /** Those that were answered with 2xx. */
  readonly delivered: number;
  readonly failed: number;
  /** In percent, with two digits; null without attempts. */
  readonly successRate: number | null;
  /** How long requests took, in ms; null without attempts. */
  readonly durationMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null };
  /** Failed attempts by their class, such as timeout or http_5xx. */
  readonly byErrorClass: Readonly<Record<string, number>>;
}

export interface AttemptWindow {
  /** Without it: every endpoint that was not deleted. */
  readonly endpointId?: string | undefined;
  /** Attempts that began at this time or later. */
  readonly since?: Date | undefined;
  /** Attempts that began before this time. */
  readonly until?: Date | undefined;
}

export function attemptStatistics(db: Db, { endpointId, since, until }: AttemptWindow): Promise<DeliveryStatistics> {
  return db
    .with('chosen', (chosen) => {
      let query = chosen
        .selectFrom('moonguard.delivery_attempts')
        .select([sql<boolean>`outcome = 'delivered'`.as('is_delivered'), 'duration_ms', 'error_class']);
      query =
        endpointId === undefined
          ? query.where('endpoint_id', 'in', (live) =>
              live.selectFrom('moonpay_webhook_config').select('id').where('deleted_at', 'is', null),
            )
          : query.where('endpoint_id', '=', endpointId);
      if (since !== undefined) query = query.where('started_at', '>=', since);
      if (until !== undefined) query = query.where('started_at', '<', until);
      return query;
    })
    .selectFrom('chosen')
    .select([
      sql<number>`count(*)`.as('attempts'),
      sql<number>`count(*) filter (where is_delivered)`.as('delivered'),
      sql<number>`count(*) filter (where not is_delivered)`.as('failed'),
      sql<number | null>`
        round(100.0 * count(*) filter (where is_delivered) / nullif(count(*), 0), 2)::double precision
      `.as('successRate'),
      sql<DeliveryStatistics['durationMs']>`jsonb_build_object(
        'p50', percentile_disc(0.5) within group (order by duration_ms),
        'p95', percentile_disc(0.95) within group (order by duration_ms),
        'p99', percentile_disc(0.99) within group (order by duration_ms))
      `.as('durationMs'),
      sql<Record<string, number>>`(
        select coalesce(jsonb_object_agg(error_class, attempts), '{}') from (
          select error_class, count(*) as attempts from chosen where error_class is not null group by error_class
        ) as classes)
      `.as('byErrorClass'),
    ])
    .executeTakeFirstOrThrow();
}
