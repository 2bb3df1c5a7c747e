import type { Selectable } from 'kysely';
import { z } from 'zod';
import type { MoonguardAlertSuppressions } from '../database/schema.generated.ts';
import { identifier, pageFields, text } from '../input/fields.ts';
import { type AlertType, alertTypes } from './alert.ts';

/** Requested: nobody has approved it, so it does nothing. Ended: by somebody, by time or because the customer changed. */
export const suppressionStates = ['requested', 'in_force', 'ended'] as const;
export type SuppressionState = (typeof suppressionStates)[number];

/** A finding about a customer that is known: alerts about it are dismissed as they come. */
export interface Suppression {
  readonly id: string;
  readonly state: SuppressionState;
  readonly customerId: string;
  readonly alertType: AlertType;
  /** Which finding; null: any of the type. */
  readonly fingerprint: string | null;
  readonly reason: string;
  readonly requestedBy: string;
  readonly approvedBy: string | null;
  readonly approvedAt: Date | null;
  readonly expiresAt: Date;
  readonly endedAt: Date | null;
  /** null while it has not ended, and where it ended by itself. */
  readonly endedBy: string | null;
  readonly endedReason: string | null;
  readonly createdAt: Date;
}

export const newSuppressionSchema = z.strictObject({
  /** As alerts name the customer. */
  customerId: identifier,
  alertType: z.enum(alertTypes),
  /** As alerts have it; default: every finding of the type. */
  fingerprint: identifier.optional(),
  reason: text,
  expiresAt: z.date(),
});
export type NewSuppressionInput = z.input<typeof newSuppressionSchema>;
export type NewSuppression = z.output<typeof newSuppressionSchema>;

export const suppressionFilterSchema = z.strictObject({
  customerId: identifier.optional(),
  alertType: z.enum(alertTypes).optional(),
  state: z.enum(suppressionStates).optional(),
  ...pageFields,
});
export type SuppressionFilterInput = z.input<typeof suppressionFilterSchema>;
export type SuppressionFilter = z.output<typeof suppressionFilterSchema>;

export type SuppressionRow = Selectable<MoonguardAlertSuppressions> & { readonly state: SuppressionState };

/** The row as the rest of the program sees it. */
export function decodeSuppression(row: SuppressionRow): Suppression {
  return {
    id: row.id,
    state: row.state,
    customerId: row.customer_id,
    alertType: z.enum(alertTypes).parse(row.alert_type),
    fingerprint: row.fingerprint,
    reason: row.reason,
    requestedBy: row.requested_by,
    approvedBy: row.approved_by,
    approvedAt: row.approved_at,
    expiresAt: row.expires_at,
    endedAt: row.ended_at,
    endedBy: row.ended_by,
    endedReason: row.ended_reason,
    createdAt: row.created_at,
  };
}
