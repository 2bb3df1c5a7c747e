import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertPerson } from '../queue.ts';

/** All who work on alerts, by id. */
export async function listPeople(db: Db): Promise<AlertPerson[]> {
  return db
    .selectFrom('moonguard.alert_people as person')
    .select((eb) => [
      'id',
      'name',
      'capacity',
      'is_active as isActive',
      eb
        .selectFrom('moonpay_compliance_alerts as alert')
        .select(sql<number>`count(*)`.as('count'))
        .whereRef('alert.assigned_to', '=', 'person.id')
        .where('status', 'in', [sql.lit('open'), sql.lit('in_review'), sql.lit('escalated')])
        .where('merged_into', 'is', null)
        .$asScalar()
        .$notNull()
        .as('load'),
    ])
    .orderBy('id')
    .execute();
}
