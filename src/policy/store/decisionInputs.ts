import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Waiver } from '../inputs.ts';

/** What is not stored as an event, in the columns of moonguard.event_facts. */
export interface RequestFacts {
  readonly environment: string;
  readonly event_name: string;
  readonly entity_type?: string | undefined;
  readonly entity_id?: string | undefined;
  readonly status?: string | undefined;
  readonly customer?: string | undefined;
  readonly wallet?: string | undefined;
  readonly card?: string | undefined;
  readonly country?: string | undefined;
  readonly payment_method?: string | undefined;
  readonly fiat_currency?: string | undefined;
  readonly fiat_amount?: string | undefined;
  readonly crypto_currency?: string | undefined;
  readonly crypto_amount?: string | undefined;
}

export type InputsSubject = { readonly aggregates: readonly string[] } & (
  | { readonly event_id: string }
  | { readonly facts: RequestFacts; readonly fields: object; readonly transaction_id: string | undefined }
);

/** An aggregate as moonguard.decision_inputs reads it; conditions that are undefined hold for every event. */
export interface AggregateQuery {
  readonly id: string;
  readonly function: string;
  readonly of: string | undefined;
  /** `event`: that of the subject. */
  readonly currency: string;
  readonly per: string;
  readonly key: string;
  /** Where key is `field`. */
  readonly field: string | undefined;
  readonly window_seconds: number;
  readonly includes_current: boolean;
  /** Patterns of LIKE. */
  readonly events: readonly string[] | undefined;
  readonly status: readonly string[] | undefined;
  readonly country: readonly string[] | undefined;
  readonly payment_method: readonly string[] | undefined;
  readonly currencies: readonly string[] | undefined;
}

export interface InputsRow {
  /** Rows as JSON, as text: read as JSON, amounts would lose digits. */
  readonly customer: string | null;
  readonly transaction: string | null;
  readonly waivers: readonly Waiver[];
  /** By the id of the query; amounts in major units. */
  readonly aggregates: Readonly<Record<string, string | null>>;
  readonly now: Date;
  /** Of the policies. */
  readonly revision: number;
}

/** What decisions on these subjects are made from, in their order, in one round trip. */
export async function decisionInputs(
  db: Db,
  subjects: readonly InputsSubject[],
  queries: readonly AggregateQuery[],
): Promise<InputsRow[]> {
  const { rows } = await sql<InputsRow>`
    select * from moonguard.decision_inputs(${JSON.stringify(subjects)}::jsonb, ${JSON.stringify(queries)}::jsonb)
  `.execute(db);
  return rows;
}
