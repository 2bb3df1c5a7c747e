import type { JsonObject } from '../database/schema.generated.ts';
import type { Environment } from '../observe/observation.ts';

/**
 * All that a decision was made from, exactly as it is recorded: evaluated again from this, it comes out the same. Whole
 * numbers beyond 2^53 are strings, times RFC 3339; a field that the event does not say is absent, never null.
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
  readonly absent?: Readonly<Record<string, string>>;
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
  readonly decimals?: number;
  /** Decimal without exponent, leading or trailing zeros: `1234.5`. */
  readonly amount: string;
  /** The amount in minor units; absent where it is no whole number of them. */
  readonly minor?: string;
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
  readonly entity_type?: string;
  readonly entity_id?: string;
  readonly customer_id?: string;
  readonly external_customer_id?: string;
  /** ISO 3166-1 alpha-3. */
  readonly country?: string;
  readonly state?: string;
  readonly payment_method?: string;
  readonly card_id?: string;
  readonly card_type?: string;
  readonly status?: string;
  readonly fiat?: Money;
  readonly crypto?: Money;
  readonly fee?: Money;
  /** The customer's: paid to by a buy, refunded to by a sale. */
  readonly wallet?: WalletInput;
  readonly stages: readonly StageInput[];
  readonly failed_stages: readonly string[];
  readonly failure_codes: readonly string[];
  /** The first of `failure_codes`. */
  readonly failure_code?: string;
  readonly identity?: IdentityInput;
  /** What the caller of `policies.evaluate` adds; of a webhook nothing. */
  readonly fields: JsonObject;
}

export interface WalletInput {
  readonly address: string;
  readonly network?: string;
  readonly tag?: string;
}

export interface StageInput {
  readonly stage?: string;
  readonly status?: string;
  readonly failure_code?: string;
}

/** An identity check. */
export interface IdentityInput {
  readonly check_id?: string;
  readonly level?: string;
  readonly result?: string;
  readonly reject_type?: string;
  readonly reject_labels: readonly string[];
  readonly escalation_reasons: readonly string[];
}

export interface CustomerInput {
  readonly known: boolean;
  readonly id?: string;
  readonly external_id?: string;
  readonly kyc_level?: string;
  readonly verification_status?: string;
  readonly kyc_result?: string;
  readonly kyc_reject_type?: string;
  readonly kyc_checked_level?: number;
  readonly kyc_updated_at?: string;
  readonly created_at?: string;
}

export interface TransactionInput {
  readonly known: boolean;
  readonly id?: string;
  readonly external_id?: string;
  readonly type?: string;
  readonly status?: string;
  readonly country?: string;
  readonly payment_method?: string;
  readonly fiat?: Money;
  readonly crypto?: Money;
  readonly created_at?: string;
  readonly updated_at?: string;
}
