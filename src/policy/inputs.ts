import type { JsonObject } from '../database/schema.generated.ts';
import type { Environment } from '../observe/observation.ts';

/**
 * All that a decision was made from, exactly as it is recorded: evaluated again from this, it comes out the same. Whole
 * numbers beyond 2^53 are strings, times RFC 3339; what an event does not say is absent (or undefined), never null.
 */
export interface DecisionInputs {
  /** Those that applied, sorted by policy and version. */
  readonly policies: readonly (readonly [policy: string, version: number, mode: PolicyMode])[];
  readonly event: EventInput;
  readonly customer: CustomerInput;
  readonly transaction: TransactionInput;
  /** By the id of the aggregate's definition; null: there is nothing to take the least or most of. */
  readonly aggregates: Readonly<Record<string, number | string | null>>;
  /** For each list the values that were looked up, and whether they were in it. */
  readonly lists: Readonly<Record<string, Readonly<Record<string, boolean>>>>;
  readonly waivers: readonly Waiver[];
  readonly now: string;
  /** Why a field is absent although the event says something: `event.fiat.minor` → reason. */
  readonly absent?: Readonly<Record<string, string>> | undefined;
}

export type PolicyMode = 'active' | 'shadow';

/** An exception, or an approval that was granted: hits of the policy, or of one of its rules, have no effect. */
export interface Waiver {
  readonly id: string;
  readonly kind: 'exception' | 'approval';
  readonly policy: string;
  /** null: any rule. */
  readonly rule: string | null;
}

export interface Money {
  /** Upper case. */
  readonly currency: string;
  /** Digits of the minor unit; absent where the currency is not known. */
  readonly decimals?: number | undefined;
  /** Decimal without exponent, leading or trailing zeros: `1234.5`. */
  readonly amount: string;
  /** The amount in minor units; absent where it is no whole number of them. */
  readonly minor?: string | undefined;
}

/** What policies look at, in whatever form MoonPay or a caller gave it. */
export interface EventInput {
  readonly id: string;
  /** Our dotted name, or that of a request: `transaction.completed`, `request.payout`. */
  readonly name: string;
  readonly environment: Environment;
  /** When it happened. */
  readonly at: string;
  /** MoonPay's type, or `request`. */
  readonly type: string;
  readonly entity_type?: string | undefined;
  readonly entity_id?: string | undefined;
  readonly customer_id?: string | undefined;
  readonly external_customer_id?: string | undefined;
  /** ISO 3166-1 alpha-3. */
  readonly country?: string | undefined;
  readonly state?: string | undefined;
  readonly payment_method?: string | undefined;
  readonly card_id?: string | undefined;
  readonly card_type?: string | undefined;
  readonly status?: string | undefined;
  readonly fiat?: Money | undefined;
  readonly crypto?: Money | undefined;
  readonly fee?: Money | undefined;
  /** The customer's: paid to by a buy, refunded to by a sale. */
  readonly wallet?: WalletInput | undefined;
  readonly stages: readonly StageInput[];
  readonly failed_stages: readonly string[];
  readonly failure_codes: readonly string[];
  /** The first of `failure_codes`. */
  readonly failure_code?: string | undefined;
  readonly identity?: IdentityInput | undefined;
  /** What the caller of `policies.evaluate` adds; of a webhook nothing. */
  readonly fields: JsonObject;
}

export interface WalletInput {
  readonly address: string;
  readonly network?: string | undefined;
  readonly tag?: string | undefined;
}

export interface StageInput {
  readonly stage?: string | undefined;
  readonly status?: string | undefined;
  readonly failure_code?: string | undefined;
}

/** An identity check. */
export interface IdentityInput {
  readonly check_id?: string | undefined;
  readonly level?: string | undefined;
  readonly result?: string | undefined;
  readonly reject_type?: string | undefined;
  readonly reject_labels: readonly string[];
  readonly escalation_reasons: readonly string[];
}

export interface CustomerInput {
  readonly known: boolean;
  readonly id?: string | undefined;
  readonly external_id?: string | undefined;
  readonly kyc_level?: string | undefined;
  readonly verification_status?: string | undefined;
  readonly kyc_result?: string | undefined;
  readonly kyc_reject_type?: string | undefined;
  readonly kyc_checked_level?: number | undefined;
  readonly kyc_updated_at?: string | undefined;
  readonly created_at?: string | undefined;
}

export interface TransactionInput {
  readonly known: boolean;
  readonly id?: string | undefined;
  readonly external_id?: string | undefined;
  readonly type?: string | undefined;
  readonly status?: string | undefined;
  readonly country?: string | undefined;
  readonly payment_method?: string | undefined;
  readonly fiat?: Money | undefined;
  readonly crypto?: Money | undefined;
  readonly created_at?: string | undefined;
  readonly updated_at?: string | undefined;
}
