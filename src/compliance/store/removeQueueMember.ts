import type { Db } from '../../database/database.ts';

/** Returns whether the person was one. */
export async function removeQueueMember(transaction: Db, queue: string, person: string): Promise<boolean> {
  const { numDeletedRows } = await transaction
    .deleteFrom('moonguard.alert_queue_members')
    .where('queue', '=', queue)
    .where('person', '=', person)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
