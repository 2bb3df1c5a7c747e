import type { Db } from '../../database/database.ts';
import type { PersonInput } from '../queue.ts';

/** Adds the person, or changes what is given of them. */
export async function putPerson(transaction: Db, { id, name, capacity, isActive }: PersonInput): Promise<void> {
  await transaction
    .insertInto('moonguard.alert_people')
    .values({ id, name: name ?? null, capacity: capacity ?? null, is_active: isActive })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ id, name, capacity, is_active: isActive }))
    .execute();
}
