import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { MoonguardPolicyExceptions } from '../database/schema.generated.ts';
import { identifier, pageFields, text } from '../input/fields.ts';
import { type Environment, environments } from '../observe/observation.ts';

/** For whom a policy, or one rule of it, has no effect, why and until when. Its hits are logged all the same. */
export interface PolicyException {
  readonly id: string;
  readonly policyId: string;
  /** null: any rule. */
  readonly ruleId: string | null;
  /** null: both. */
  readonly environment: Environment | null;
  /** null: whoever the entity belongs to. */
  readonly customerId: string | null;
  readonly entityType: string | null;
  /** null: anything of the customer. */
  readonly entityId: string | null;
  readonly reason: string;
  readonly grantedBy: string;
  readonly grantedAt: Date;
  readonly expiresAt: Date;
  /** When somebody ended it before its time. */
  readonly endedAt: Date | null;
  readonly endedBy: string | null;
}

const entity = { entityType: z.string().min(1).max(100).optional(), entityId: identifier.optional() };

export const newExceptionSchema = z
  .strictObject({
    policyId: identifier,
    /** Default: any. */
    ruleId: identifier.optional(),
    /** Default: both. */
    environment: z.enum(environments).optional(),
    /** MoonPay's id of the customer, or yours. The customer or the entity has to be given. */
    customerId: identifier.optional(),
    ...entity,
    reason: text,
    expiresAt: z.date(),
  })
  .refine(({ customerId, entityId }) => customerId !== undefined || entityId !== undefined, {
    path: ['customerId'],
    error: 'the customer or an entity must be given',
    params: { code: 'required' },
  })
  .refine(({ entityType, entityId }) => (entityType === undefined) === (entityId === undefined), {
    path: ['entityType'],
    error: 'entityType and entityId go together',
    params: { code: 'required' },
  });
export type NewExceptionInput = z.input<typeof newExceptionSchema>;
export type NewException = z.output<typeof newExceptionSchema>;

export const exceptionFilterSchema = z.strictObject({
  policyId: identifier.optional(),
  customerId: identifier.optional(),
  ...entity,
  /** Whether it holds at this moment. */
  isInForce: z.boolean().optional(),
  ...pageFields,
});
export type ExceptionFilterInput = z.input<typeof exceptionFilterSchema>;
export type ExceptionFilter = z.output<typeof exceptionFilterSchema>;

export type ExceptionRow = Selectable<MoonguardPolicyExceptions>;

/** The row as the rest of the program sees it. */
export function decodeException(row: ExceptionRow): PolicyException {
  return {
    id: row.id,
    policyId: row.policy_id,
    ruleId: row.rule_id,
    environment: z.enum(environments).nullable().parse(row.environment),
    customerId: row.customer_id,
    entityType: row.entity_type,
    entityId: row.entity_id,
    reason: row.reason,
    grantedBy: row.granted_by,
    grantedAt: row.granted_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
    endedBy: row.ended_by,
  };
}
