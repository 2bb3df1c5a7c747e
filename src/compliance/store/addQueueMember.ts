import type { Db } from '../../database/database.ts';

/** Does nothing where the person is a member already. */
export async function addQueueMember(transaction: Db, queue: string, person: string): Promise<void> {
  await transaction
    .insertInto('moonguard.alert_queue_members')
    .values({ queue, person })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}
