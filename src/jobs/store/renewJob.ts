import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { JsonObject } from '../../database/schema.generated.ts';

export interface JobRenewal {
  readonly leaseToken: string;
  readonly leaseMs: number;
  readonly soFar: JsonObject;
}

/** @returns false when the lease is another's by now */
export async function renewJob(db: Db, name: string, { leaseToken, leaseMs, soFar }: JobRenewal): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update moonguard.jobs
    set leased_until = now() + make_interval(secs => ${leaseMs / 1000}), last_result = ${JSON.stringify(soFar)}::jsonb
    where name = ${name} and lease_token = ${leaseToken}
  `.execute(db);
  return numAffectedRows === 1n;
}
