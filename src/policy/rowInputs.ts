import type { CustomerInput, Money, TransactionInput } from './inputs.ts';
import { moneyOf } from './money.ts';
import { parsePayload, word } from './payloadText.ts';

/** From the text of `to_jsonb` of a row of moonpay_customers. */
export function customerInput(row: string | null): CustomerInput {
  if (row === null) return { known: false };
  const column = parsePayload(row);
  const level = word(column['kyc_checked_level']);
  return {
    known: true,
    id: word(column['moonpay_customer_id']),
    external_id: word(column['external_customer_id']),
    kyc_level: word(column['kyc_level']),
    verification_status: word(column['identity_verification_status']),
    kyc_result: word(column['kyc_result']),
    kyc_reject_type: word(column['kyc_reject_type']),
    kyc_checked_level: level === undefined ? undefined : Number(level),
    kyc_updated_at: time(column['kyc_updated_at']),
    created_at: time(column['created_at']),
  };
}

/** From the text of `to_jsonb` of a row of moonpay_transactions: read as text, its amounts keep all their digits. */
export function transactionInput(row: string | null): TransactionInput {
  if (row === null) return { known: false };
  const column = parsePayload(row);
  const money = (kind: 'fiat' | 'crypto'): Money | undefined => {
    const currency = word(column[`${kind}_currency`]);
    const amount = word(column[`${kind}_amount`]);
    return currency === undefined || amount === undefined ? undefined : moneyOf({ currency, amount, kind }).money;
  };
  return {
    known: true,
    id: word(column['moonpay_transaction_id']),
    external_id: word(column['external_transaction_id']),
    type: word(column['type']),
    status: word(column['status']),
    country: word(column['country']),
    payment_method: word(column['payment_method']),
    fiat: money('fiat'),
    crypto: money('crypto'),
    created_at: time(column['created_at']),
    updated_at: time(column['updated_at']),
  };
}

/** As the inputs write times: in UTC, with milliseconds. */
function time(value: unknown): string | undefined {
  const text = word(value);
  const at = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : new Date(at).toISOString();
}
