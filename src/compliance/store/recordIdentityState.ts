import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';
import type { VerificationStatus } from '../customer.ts';

export interface IdentityState {
  readonly environment: Environment;
  /** MoonPay's id of the customer. */
  readonly customerId: string | undefined;
  readonly externalCustomerId: string | undefined;
  readonly status: VerificationStatus;
  readonly check: {
    readonly id: string;
    readonly result?: string | undefined;
    readonly rejectType?: string | undefined;
  };
  /** Default: now. */
  readonly checkedAt: Date | undefined;
}

/** Moves the customer's identity state forward; a check that is older than the one it comes from changes nothing. */
export async function recordIdentityState(transaction: Db, state: IdentityState): Promise<void> {
  await sql`
    select moonguard.move_customer(${state.environment}, ${state.customerId ?? null}, ${state.externalCustomerId ?? null},
      ${state.status}, ${JSON.stringify(state.check)}::jsonb, coalesce(${state.checkedAt ?? null}::timestamptz, now()))
  `.execute(transaction);
}
