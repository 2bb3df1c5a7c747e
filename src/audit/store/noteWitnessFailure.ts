import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** The witness is asked again after 5 seconds, and after each further failure later: at most after 10 minutes. */
export async function noteWitnessFailure(db: Db, verifierKey: string, reason: string): Promise<void> {
  await sql`
    update moonguard.audit_witnesses set failures_count = failures_count + 1, failure_reason = ${reason},
      next_at = now() + least(interval '5 seconds' * power(2, least(failures_count, 10)), interval '10 minutes')
    where verifier_key = ${verifierKey}
  `.execute(db);
}
