import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { Json, MoonpayPolicies } from '../database/schema.generated.ts';
import { identifier, json, text } from '../input/fields.ts';
import type { PolicyType } from './policyLog.ts';

export const policyKinds = ['kyc', 'transaction', 'compliance', 'risk'] as const;
export type PolicyKind = (typeof policyKinds)[number];

/** What a policy of moonpay_policies is called in the policy log. */
export const policyTypeOfKind: Readonly<Record<PolicyKind, PolicyType>> = {
  kyc: 'kyc_policy',
  transaction: 'transaction_limit',
  compliance: 'compliance_rule',
  risk: 'risk_assessment',
};

/** A row of moonpay_policies. */
export interface Policy {
  readonly id: string;
  /** Your own id where you gave one, else `id`; methods take either. The policy log speaks of it. */
  readonly policyId: string;
  readonly name: string;
  readonly type: PolicyKind;
  readonly rules: Json;
  readonly isActive: boolean;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

/** Columns that constraints hold to a closed list, for a query's `$narrowType`. */
export interface PolicyWords {
  type: PolicyKind;
}

export type PolicyRow = Omit<Selectable<MoonpayPolicies>, keyof PolicyWords> & PolicyWords;

/** The row as the rest of the program sees it. */
export function decodePolicy(row: PolicyRow): Policy {
  return {
    id: row.id,
    policyId: row.external_policy_id ?? row.id,
    name: row.name,
    type: row.type,
    rules: row.rules,
    isActive: row.is_active,
    createdAt: row.created_at,
    updatedAt: row.updated_at,
  };
}

export const newPolicySchema = z.strictObject({
  /** Default: the row's id. */
  policyId: identifier.optional(),
  name: text,
  type: z.enum(policyKinds),
  rules: json.default([]),
  /** Default false. */
  isActive: z.boolean().default(false),
});
export type NewPolicyInput = z.input<typeof newPolicySchema>;
export type NewPolicy = z.output<typeof newPolicySchema>;

export const policyChangeSchema = newPolicySchema.pick({ name: true, type: true }).partial().extend({
  rules: json.optional(),
});
export type PolicyChangeInput = z.input<typeof policyChangeSchema>;
export type PolicyChange = z.output<typeof policyChangeSchema>;
