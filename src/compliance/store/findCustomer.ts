import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { CustomerRow, CustomerWords } from '../customer.ts';

/** By MoonPay's id, else by your own. */
export async function findCustomer(db: Db, customerId: string): Promise<CustomerRow | undefined> {
  return db
    .selectFrom('moonpay_customers')
    .selectAll()
    .$narrowType<CustomerWords>()
    .where((eb) => eb.or([eb('moonpay_customer_id', '=', customerId), eb('external_customer_id', '=', customerId)]))
    .orderBy(sql`moonpay_customer_id is distinct from ${customerId}`)
    .limit(1)
    .executeTakeFirst();
}
