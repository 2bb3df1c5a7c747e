import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AttemptOutcome, DeliveryAttempt } from '../delivery.ts';

/** The attempts at one delivery, the first one first. */
export async function listAttempts(db: Db, deliveryId: string): Promise<DeliveryAttempt[]> {
  const rows = await db
    .selectFrom('moonguard.delivery_attempts')
    .select([
      'attempt_number as attemptNumber',
      'started_at as startedAt',
      'duration_ms as durationMs',
      sql<AttemptOutcome>`outcome`.as('outcome'),
      'response_status as responseStatus',
      'response_body as responseBody',
      'error_class as errorClass',
      'error_message as errorMessage',
    ])
    .where('delivery_id', '=', deliveryId)
    .orderBy('attempt_number')
    .execute();
  return rows.map(({ responseBody, ...attempt }) => ({
    ...attempt,
    responseBody: responseBody === null ? null : responseBody.toString('utf8'),
  }));
}
