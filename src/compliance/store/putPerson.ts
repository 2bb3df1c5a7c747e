import type { Insertable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardAlertPeople } from '../../database/schema.generated.ts';

/** Adds the person, or replaces what is known of them. */
export async function putPerson(transaction: Db, person: Insertable<MoonguardAlertPeople>): Promise<void> {
  await transaction
    .insertInto('moonguard.alert_people')
    .values(person)
    .onConflict((conflict) => conflict.column('id').doUpdateSet(person))
    .execute();
}
