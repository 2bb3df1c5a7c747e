import { sql } from 'kysely';
import { arrayLiteral } from '../../database/arrayLiteral.ts';
import type { Db } from '../../database/database.ts';
import type { EndpointStatus } from '../../webhooks/endpoint.ts';
import type { BreakerSettings } from '../breaker.ts';

/** What became of one claimed delivery. */
export type SettledDelivery = RequestedDelivery | FilteredDelivery;

interface Settled {
  readonly deliveryId: string;
  readonly endpointId: string;
  readonly leaseToken: string;
  /** The next one of its entity waits for this. */
  readonly isOrdered: boolean;
}

/** The endpoint's filter did not want it: nothing was sent. */
export interface FilteredDelivery extends Settled {
  readonly outcome: 'filtered';
}

export interface RequestedDelivery extends Settled {
  /** `resend_failed`: a request outside the schedule failed, everything stays as it was. */
  readonly outcome: 'delivered' | 'retry' | 'exhausted' | 'held' | 'resend_failed';
  /** Milliseconds until the next attempt; only for retry. */
  readonly retryInMs: number | undefined;
  /** Unix ms. */
  readonly startedAtMs: number;
  readonly durationMs: number;
  readonly responseStatus: number | undefined;
  /** At most 16 KiB. */
  readonly responseBody: Uint8Array | undefined;
  readonly errorClass: string | undefined;
  readonly errorMessage: string | undefined;
  /** The receiver said that the endpoint is gone for good. */
  readonly disablesEndpoint: boolean;
}

export interface Settlements {
  /** Ids of the deliveries that had passed to another worker: nothing was written of them. */
  readonly lost: ReadonlySet<string>;
  /** Endpoints that are not active, or were not before; `changedBecause` where the results changed that. */
  readonly endpoints: readonly {
    readonly endpointId: string;
    readonly status: EndpointStatus;
    readonly changedBecause: string | null;
  }[];
}

/** Writes results with everything that follows from them, in one transaction: migrations/0014. */
export async function settleDeliveries(
  db: Db,
  results: readonly SettledDelivery[],
  { failures, probeMs, disableAfterMs }: BreakerSettings,
): Promise<Settlements> {
  const all = results.map(asRow);
  const endpointIds = new Set(results.map(({ endpointId }) => endpointId));
  const column = (name: keyof ResultRow): string => arrayLiteral(all.map((row) => row[name]));
  const { rows } = await sql<SettlementRow>`
    select * from moonguard.settle_deliveries(${column('deliveryId')}::uuid[], ${column('leaseToken')}::uuid[],
      ${column('outcome')}::text[], ${column('retryInMs')}::double precision[], ${column('startedAtMs')}::double precision[],
      ${column('durationMs')}::integer[], ${column('responseStatus')}::integer[], ${column('responseBody')}::text[],
      ${column('errorClass')}::text[], ${column('errorMessage')}::text[], ${column('isGone')}::boolean[],
      ${arrayLiteral([...endpointIds])}::uuid[], ${failures}::integer, ${probeMs}::integer, ${disableAfterMs}::bigint)
  `.execute(db);
  const lost = new Set<string>();
  const endpoints: Settlements['endpoints'][number][] = [];
  for (const row of rows) {
    if (row.delivery_id !== null) lost.add(row.delivery_id);
    else {
      endpoints.push({ endpointId: row.endpoint_id, status: row.endpoint_status, changedBecause: row.changed_because });
    }
  }
  return { lost, endpoints };
}

type ResultRow = Readonly<
  Record<'deliveryId' | 'leaseToken' | 'outcome', string> &
    Partial<
      Record<'retryInMs' | 'startedAtMs' | 'durationMs' | 'responseStatus', number | undefined> &
        Record<'responseBody' | 'errorClass' | 'errorMessage', string | undefined> & { isGone: boolean }
    >
>;

function asRow(result: SettledDelivery): ResultRow {
  const { deliveryId, leaseToken, outcome } = result;
  if (outcome === 'filtered') return { deliveryId, leaseToken, outcome };
  return {
    deliveryId,
    leaseToken,
    outcome,
    retryInMs: result.retryInMs,
    startedAtMs: result.startedAtMs,
    durationMs: Math.round(result.durationMs),
    responseStatus: result.responseStatus,
    responseBody: result.responseBody && Buffer.from(result.responseBody).toString('base64'),
    errorClass: result.errorClass,
    errorMessage: result.errorMessage?.replaceAll('\0', ' ').slice(0, 1000),
    isGone: result.disablesEndpoint,
  };
}

type SettlementRow =
  | { readonly delivery_id: string }
  | {
      readonly delivery_id: null;
      readonly endpoint_id: string;
      readonly endpoint_status: EndpointStatus;
      readonly changed_because: string | null;
    };
