import { sql } from 'kysely';
import type { Database } from '../../src/database/database.ts';
import { databaseErrorReport } from '../../src/database/databaseError.ts';

/** A caller as Supabase's API knows one: a role of the database, and the claims of a JWT. */
export interface Caller {
  readonly role: 'anon' | 'authenticated' | 'service_role';
  /** JSON as the API sets it; undefined: never set. */
  readonly claims?: string;
}

export function signedIn(moonpayRole?: string, sub = 'somebody'): Caller {
  return { role: 'authenticated', claims: JSON.stringify({ sub, app_metadata: { moonpay_role: moonpayRole } }) };
}

export type Outcome =
  | { readonly rows: number }
  | { readonly code: string | undefined; readonly constraint: string | undefined };

class RolledBack extends Error {
  override readonly name = 'RolledBack';
}

/** Runs statements as the caller, in a transaction that is rolled back; the outcome is that of the last one. */
export async function attempt(database: Database, caller: Caller, ...statements: string[]): Promise<Outcome> {
  let outcome: Outcome | undefined;
  try {
    await database.transaction(async (transaction) => {
      if (caller.claims !== undefined) {
        await sql`select set_config('request.jwt.claims', ${caller.claims}, true)`.execute(transaction);
      }
      await sql`set local role ${sql.id(caller.role)}`.execute(transaction);
      for (const statement of statements) {
        const { rows, numAffectedRows } = await sql.raw(statement).execute(transaction);
        outcome = { rows: Math.max(rows.length, Number(numAffectedRows ?? 0)) };
      }
      throw new RolledBack();
    });
  } catch (error) {
    if (error instanceof RolledBack && outcome !== undefined) return outcome;
    const { code, constraint } = databaseErrorReport(error);
    return { code, constraint };
  }
  throw new Error('The transaction committed.');
}
