import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';

const claims = JSON.stringify({ sub: 'officer', app_metadata: { moonpay_role: 'compliance_officer' } });

/** For the rest of the transaction, as Supabase's API and ours do it: Row Level Security decides. */
export async function becomeOfficer(transaction: Db): Promise<void> {
  await sql`select set_config('request.jwt.claims', ${claims}, true), set_config('role', 'authenticated', true)`.execute(
    transaction,
  );
}
