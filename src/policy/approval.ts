import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { MoonguardPolicyApprovals } from '../database/schema.generated.ts';
import { identifier, oneOrMore, pageFields, text } from '../input/fields.ts';
import { type Environment, environments } from '../observe/observation.ts';

export const approvalStatuses = ['pending', 'granted', 'denied', 'expired'] as const;
export type ApprovalStatus = (typeof approvalStatuses)[number];

/** What somebody has to approve because a rule asks for it. */
export interface PolicyApproval {
  readonly id: string;
  /** The decision that asked for it. */
  readonly decisionId: string;
  readonly correlationId: string | null;
  readonly policyId: string;
  readonly policyVersion: number;
  readonly ruleId: string;
  readonly environment: Environment;
  readonly customerId: string | null;
  readonly entityType: string;
  readonly entityId: string;
  /** Another person decides. */
  readonly requestedBy: string;
  readonly requestedAt: Date;
  /** Until when it can be decided. */
  readonly expiresAt: Date;
  readonly status: ApprovalStatus;
  readonly decidedBy: string | null;
  readonly decidedAt: Date | null;
  readonly reason: string | null;
  /** Granted: until when the rule has no further effect on the entity. */
  readonly validUntil: Date | null;
}

/** What a decision asks for. */
export interface NewApproval
  extends Pick<
    PolicyApproval,
    | 'decisionId'
    | 'correlationId'
    | 'policyId'
    | 'policyVersion'
    | 'ruleId'
    | 'environment'
    | 'customerId'
    | 'entityType'
    | 'entityId'
    | 'requestedBy'
  > {
  /** Default: the hours of the settings. */
  readonly expiresInSeconds?: number | undefined;
}

export const approvalDecisionSchema = z.strictObject({
  reason: text,
  /** Default: the hours of the settings, from now on. */
  validUntil: z.date().optional(),
});
export type ApprovalDecision = z.output<typeof approvalDecisionSchema>;

export const approvalFilterSchema = z.strictObject({
  status: oneOrMore(approvalStatuses),
  policyId: identifier.optional(),
  customerId: identifier.optional(),
  entityType: identifier.optional(),
  entityId: identifier.optional(),
  correlationId: identifier.optional(),
  ...pageFields,
});
export type ApprovalFilterInput = z.input<typeof approvalFilterSchema>;
export type ApprovalFilter = z.output<typeof approvalFilterSchema>;

export type ApprovalRow = Selectable<MoonguardPolicyApprovals>;

/** The row as the rest of the program sees it. */
export function decodeApproval(row: ApprovalRow): PolicyApproval {
  return {
    id: row.id,
    decisionId: row.decision_id,
    correlationId: row.correlation_id,
    policyId: row.policy_id,
    policyVersion: row.policy_version,
    ruleId: row.rule_id,
    environment: z.enum(environments).parse(row.environment),
    customerId: row.customer_id,
    entityType: row.entity_type,
    entityId: row.entity_id,
    requestedBy: row.requested_by,
    requestedAt: row.requested_at,
    expiresAt: row.expires_at,
    status: z.enum(approvalStatuses).parse(row.status),
    decidedBy: row.decided_by,
    decidedAt: row.decided_at,
    reason: row.reason,
    validUntil: row.valid_until,
  };
}
