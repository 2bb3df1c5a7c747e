import { sql } from 'kysely';
import type { Database, Db } from '../../src/database/database.ts';

/** A signed-in user as the claims of the JWT say. */
export interface User {
  readonly sub: string;
  readonly role: 'admin' | 'compliance_officer' | 'compliance_analyst' | 'auditor' | 'developer';
}

/** Runs `work` in a transaction as Supabase's API would for this user: role authenticated, with claims. */
export async function asUser<T>(database: Database, user: User, work: (transaction: Db) => Promise<T>): Promise<T> {
  const claims = JSON.stringify({ sub: user.sub, app_metadata: { moonpay_role: user.role } });
  return database.transaction(async (transaction) => {
    await sql`select set_config('request.jwt.claims', ${claims}, true)`.execute(transaction);
    await sql`set local role authenticated`.execute(transaction);
    return work(transaction);
  });
}
