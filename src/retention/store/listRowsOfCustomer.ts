import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** A row of the policy log by its key, and why it may not be erased. */
export interface RowOfCustomer {
  readonly id: string;
  /** With all the digits of the database. */
  readonly executedAt: string;
  /** held: by a legal hold, an open follow-up or retain_until; required: by the law that its class stands for. */
  readonly kept: 'held' | 'required' | null;
}

/** Rows about a customer that are not erased. */
export async function listRowsOfCustomer(db: Db, customerId: string): Promise<RowOfCustomer[]> {
  const { rows } = await sql<RowOfCustomer>`
    select id, to_jsonb(executed_at) #>> '{}' as "executedAt", kept from moonguard.policy_logs_of_customer(${customerId}, now())
  `.execute(db);
  return rows;
}
