import type { Pool } from 'pg';
import type { ParsedEvent } from '../../src/receive/parseEvent.ts';

export interface PeerEvent {
  readonly id: string;
  readonly rawBody: Buffer;
  readonly signature: string;
  readonly parsed: ParsedEvent;
}

/**
 * The rows that the product makes for an event of a transaction, statement by statement: the event, its deliveries, the
 * newest state of its transaction. Without what else the product does there: no notification, no ids of yours.
 */
export async function storeInTransaction(
  pool: Pool,
  { id, rawBody, signature, parsed }: PeerEvent,
): Promise<{ readonly id: string; readonly duplicate: boolean }> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    const inserted = await client.query<{ sequence: string }>({
      name: 'insert-event',
      text: insertEvent,
      values: [
        id,
        'sandbox',
        signature,
        rawBody,
        parsed.jsonText,
        parsed.providerType,
        parsed.name,
        parsed.dedupeKey,
        parsed.entity?.type,
        parsed.entity?.id,
        parsed.facts.updatedAt,
        parsed.isHandled,
      ],
    });
    const sequence = inserted.rows[0]?.sequence;
    if (sequence === undefined) {
      await client.query('rollback');
      return { id, duplicate: true };
    }
    const values = [id, 'sandbox', sequence, [parsed.name, `${parsed.name.split('.', 1)[0]}.*`, '*']];
    await client.query({ name: 'insert-deliveries', text: insertDeliveries, values });
    const moved = await client.query({ name: 'move-transaction', text: moveTransaction, values: [id] });
    if (moved.rowCount === 0) await client.query({ name: 'mark-late', text: markLate, values: [id] });
    await client.query('commit');
    return { id, duplicate: false };
  } catch (error) {
    await client.query('rollback');
    throw error;
  } finally {
    client.release();
  }
}

const insertEvent = `
  insert into public.moonpay_webhook_events (id, environment, signature, raw_body, event_data, event_type, event_name, dedupe_key,
    entity_type, entity_id, occurred_at, is_handled, sequence)
  values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, nextval('moonguard.event_sequence'))
  on conflict (dedupe_key) do nothing
  returning sequence`;

const insertDeliveries = `
  insert into moonguard.deliveries (id, event_id, endpoint_id, status, event_sequence)
  select gen_random_uuid(), $1, id, case when status in ('active', 'suspended') then 'pending' else 'held' end, $3
  from public.moonpay_webhook_config
  where environment = $2 and deleted_at is null and events && $4`;

/** Of a buy: what a sell calls otherwise is left out. */
const moveTransaction = `
  insert into public.moonpay_transactions as t (id, external_transaction_id, type, status, crypto_currency, fiat_currency,
    crypto_amount, fiat_amount, wallet_address, redirect_url, widget_redirect_url, customer_id, payment_method, fees, environment,
    moonpay_transaction_id, moonpay_status, moonpay_updated_at, failure_reason, crypto_transaction_id, external_customer_id, country)
  select gen_random_uuid(), coalesce(data ->> 'externalTransactionId', entity_id), 'buy', data ->> 'status',
    data -> 'currency' ->> 'code', data -> 'baseCurrency' ->> 'code', (data ->> 'quoteCurrencyAmount')::numeric,
    (data ->> 'baseCurrencyAmount')::numeric, data ->> 'walletAddress', data ->> 'redirectUrl', data ->> 'widgetRedirectUrl',
    data ->> 'customerId', data ->> 'paymentMethod',
    jsonb_strip_nulls(jsonb_build_object('fee_amount', data -> 'feeAmount', 'extra_fee_amount', data -> 'extraFeeAmount',
      'network_fee_amount', data -> 'networkFeeAmount')),
    environment, entity_id, data ->> 'status', occurred_at, data ->> 'failureReason', data ->> 'cryptoTransactionId',
    data ->> 'externalCustomerId', data ->> 'country'
  from (select environment, entity_id, occurred_at, event_data -> 'data' as data from public.moonpay_webhook_events where id = $1 offset 0) as event
  on conflict (environment, moonpay_transaction_id) do update set
    status = excluded.status, moonpay_status = excluded.moonpay_status, moonpay_updated_at = excluded.moonpay_updated_at,
    crypto_amount = coalesce(excluded.crypto_amount, t.crypto_amount), fiat_amount = coalesce(excluded.fiat_amount, t.fiat_amount),
    failure_reason = coalesce(excluded.failure_reason, t.failure_reason),
    crypto_transaction_id = coalesce(excluded.crypto_transaction_id, t.crypto_transaction_id), updated_at = now()
  where t.status not in ('completed', 'failed') and excluded.moonpay_updated_at >= t.moonpay_updated_at`;

const markLate = `
  update public.moonpay_webhook_events set is_late = true, processed = true, processed_at = now() where id = $1`;
