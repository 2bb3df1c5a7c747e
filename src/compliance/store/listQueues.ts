import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertQueue } from '../queue.ts';

/** All queues with their members, in the order in which they are asked. */
export async function listQueues(db: Db): Promise<AlertQueue[]> {
  return db
    .selectFrom('moonguard.alert_queues as queue')
    .select((eb) => [
      'name',
      'alert_types as alertTypes',
      'severities',
      'strategy',
      'priority',
      'is_active as isActive',
      eb
        .selectFrom('moonguard.alert_queue_members as member')
        .select(sql<string[]>`coalesce(array_agg(person order by person), '{}')`.as('people'))
        .whereRef('member.queue', '=', 'queue.name')
        .$asScalar()
        .as('members'),
    ])
    .orderBy('priority')
    .orderBy('name')
    .$castTo<AlertQueue>()
    .execute();
}
