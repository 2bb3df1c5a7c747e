import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { MoonguardLegalHolds } from '../database/schema.generated.ts';
import { identifier, pageFields, text } from '../input/fields.ts';

/** Why, by whom and for how long something is kept beyond its retention. */
export interface LegalHold {
  readonly id: string;
  readonly reason: string;
  /** What is held matches each of these that is not null. */
  readonly customerId: string | null;
  readonly transactionId: string | null;
  /** Holds rows of the policy log alone. */
  readonly policyId: string | null;
  readonly correlationId: string | null;
  readonly from: Date | null;
  readonly to: Date | null;
  readonly setBy: string;
  readonly setAt: Date;
  /** null while it is in force. */
  readonly liftedBy: string | null;
  readonly liftedAt: Date | null;
  readonly liftedReason: string | null;
}

export const newHoldSchema = z
  .strictObject({
    reason: text,
    customerId: identifier.optional(),
    transactionId: identifier.optional(),
    policyId: identifier.optional(),
    correlationId: identifier.optional(),
    /** From this time on: of the decision, or when the event came. */
    from: z.date().optional(),
    /** Up to this time. */
    to: z.date().optional(),
  })
  .refine(({ reason: _reason, ...scope }) => Object.values(scope).some((value) => value !== undefined), {
    error: 'say what is held: a customer, transaction, policy, correlation id or time',
    params: { code: 'required' },
  })
  .refine(({ from, to }) => from === undefined || to === undefined || from <= to, {
    error: 'must not be before from',
    path: ['to'],
    params: { code: 'too_small' },
  });
export type NewHoldInput = z.input<typeof newHoldSchema>;
export type NewHold = z.output<typeof newHoldSchema>;

export const holdFilterSchema = z.strictObject({
  /** Default: both. */
  inForce: z.boolean().optional(),
  customerId: identifier.optional(),
  ...pageFields,
});
export type HoldFilterInput = z.input<typeof holdFilterSchema>;
export type HoldFilter = z.output<typeof holdFilterSchema>;

/** The row as the rest of the program sees it. */
export function decodeHold(row: Selectable<MoonguardLegalHolds>): LegalHold {
  return {
    id: row.id,
    reason: row.reason,
    customerId: row.customer_id,
    transactionId: row.transaction_id,
    policyId: row.policy_id,
    correlationId: row.correlation_id,
    from: row.executed_from,
    to: row.executed_to,
    setBy: row.set_by,
    setAt: row.set_at,
    liftedBy: row.lifted_by,
    liftedAt: row.lifted_at,
    liftedReason: row.lifted_reason,
  };
}
