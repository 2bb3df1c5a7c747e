import type { CustomerInput, TransactionInput } from './inputs.ts';

/** From the text of `to_jsonb` of a row of moonpay_customers. */
export function customerInput(_row: string | null): CustomerInput {
  throw new Error('not built yet');
}

/** From the text of `to_jsonb` of a row of moonpay_transactions: read as text, its amounts keep all their digits. */
export function transactionInput(_row: string | null): TransactionInput {
  throw new Error('not built yet');
}
