import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ErasedEvents {
  readonly erased: number;
  /** Under a legal hold. */
  readonly held: number;
}

/** Empties the bodies of a customer's events and of the answers to them. */
export async function eraseCustomerEvents(transaction: Db, customerId: string): Promise<ErasedEvents> {
  const { rows } = await sql<ErasedEvents>`
    select erased, held from moonguard.erase_customer_events(${customerId})
  `.execute(transaction);
  return rows[0] ?? { erased: 0, held: 0 };
}
