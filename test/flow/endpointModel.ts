import type { DeliveryStatus } from '../../src/webhooks/delivery.ts';
import type { EndpointStatus } from '../../src/webhooks/endpoint.ts';

/** An endpoint and its deliveries as the documentation has them, without a database. */

export interface DeliveryModel {
  status: DeliveryStatus;
  attempts: number;
  /** Token of the worker that has it. */
  lease: string | undefined;
  /** Its lease has ended, so that another worker may take it. */
  leaseIsOver: boolean;
  /** Somebody asked for one request outside the schedule: what to be again when that fails. */
  resendFrom: DeliveryStatus | undefined;
}

export interface EndpointModel {
  status: EndpointStatus;
  reason: string | null;
  isDeleted: boolean;
  consecutiveFailures: number;
  lastFailure: string | undefined;
  /** By their ids. */
  readonly deliveries: Map<string, DeliveryModel>;
  /** Names of the operational events about it. */
  readonly operationalEvents: string[];
  readonly history: { readonly to: EndpointStatus; readonly reason: string | null }[];
}

/** What a request brought; in the order in which they were begun. */
export interface ResultModel {
  readonly deliveryId: string;
  readonly lease: string;
  readonly outcome: 'delivered' | 'failed' | 'last attempt failed' | 'gone';
  readonly message: string;
}

export const BREAKER_FAILURES = 3;

export function newEndpoint(): EndpointModel {
  return {
    status: 'active',
    reason: null,
    isDeleted: false,
    consecutiveFailures: 0,
    lastFailure: undefined,
    deliveries: new Map(),
    operationalEvents: [],
    history: [{ to: 'active', reason: null }],
  };
}

function takesDeliveries({ status }: EndpointModel): boolean {
  return status === 'active' || status === 'suspended';
}

export function storeEvent(endpoint: EndpointModel, deliveryId: string): void {
  const status = takesDeliveries(endpoint) ? 'pending' : 'held';
  endpoint.deliveries.set(deliveryId, {
    status,
    attempts: 0,
    lease: undefined,
    leaseIsOver: false,
    resendFrom: undefined,
  });
}

/** How many deliveries a worker gets that has room for `limit`: of a suspended endpoint one, as a probe. */
export function claimable(endpoint: EndpointModel, limit: number): number {
  if (!takesDeliveries(endpoint)) return 0;
  const due = [...endpoint.deliveries.values()].filter(isDue).length;
  return Math.min(due, endpoint.status === 'suspended' ? 1 : limit);
}

export function isDue({ status, lease, leaseIsOver }: DeliveryModel): boolean {
  return status === 'pending' && (lease === undefined || leaseIsOver);
}

export function claim(endpoint: EndpointModel, deliveryIds: readonly string[], lease: string): void {
  // A result can make a delivery pending after its endpoint was stopped.
  if (!takesDeliveries(endpoint)) holdPending(endpoint);
  for (const id of deliveryIds) Object.assign(deliveryOf(endpoint, id), { lease, leaseIsOver: false });
}

/** @param isPastWindow whether it has been suspended for longer than the disabling window */
export function settle(endpoint: EndpointModel, results: readonly ResultModel[], isPastWindow: boolean): void {
  const counted = results.filter(({ deliveryId, lease }) => deliveryOf(endpoint, deliveryId).lease === lease);
  if (counted.length === 0) return;
  for (const result of counted) settleOne(endpoint, result);

  const lastSuccess = counted.findLastIndex(({ outcome }) => outcome === 'delivered');
  const failuresAtTheEnd = counted.length - 1 - lastSuccess;
  endpoint.consecutiveFailures = failuresAtTheEnd + (lastSuccess === -1 ? endpoint.consecutiveFailures : 0);
  endpoint.lastFailure = counted.findLast(({ outcome }) => outcome !== 'delivered')?.message ?? endpoint.lastFailure;
  if (!takesDeliveries(endpoint)) return;
  if (counted.some(({ outcome }) => outcome === 'gone')) {
    moveTo(endpoint, 'failed', 'the receiver answered 410 Gone');
  } else if (endpoint.status === 'suspended' && lastSuccess !== -1) {
    moveTo(endpoint, 'active', 'a probe succeeded', 'recovered');
  } else if (endpoint.status === 'suspended' && isPastWindow) {
    moveTo(endpoint, 'failed', `no request succeeded since it was suspended, the last one: ${endpoint.lastFailure}`);
  } else if (endpoint.status === 'active' && endpoint.consecutiveFailures >= BREAKER_FAILURES) {
    const count = endpoint.consecutiveFailures;
    moveTo(endpoint, 'suspended', `${count} requests failed in a row, the last one: ${endpoint.lastFailure}`);
  }
}

function settleOne(endpoint: EndpointModel, { deliveryId, outcome }: ResultModel): void {
  const delivery = deliveryOf(endpoint, deliveryId);
  const { resendFrom } = delivery;
  delivery.attempts += 1;
  delivery.lease = undefined;
  delivery.resendFrom = undefined;
  if (outcome === 'delivered') delivery.status = 'delivered';
  // A request outside the schedule leaves everything as it was.
  else if (resendFrom !== undefined) delivery.status = resendFrom;
  else if (outcome === 'gone') delivery.status = 'held';
  else if (outcome === 'last attempt failed') {
    delivery.status = 'exhausted';
    endpoint.operationalEvents.push('webhook.delivery_exhausted');
  }
}

/** Somebody switches it off. */
export function switchOff(endpoint: EndpointModel, reason: string | null): void {
  changeStatus(endpoint, 'inactive', reason);
}

/** What was held stays held. */
export function resume(endpoint: EndpointModel): void {
  changeStatus(endpoint, 'active', null);
}

export function remove(endpoint: EndpointModel): void {
  changeStatus(endpoint, 'inactive', 'deleted');
  endpoint.isDeleted = true;
}

export function resend(endpoint: EndpointModel, deliveryId: string): 'retried' | 'conflict' {
  const delivery = deliveryOf(endpoint, deliveryId);
  if (!takesDeliveries(endpoint) || delivery.lease !== undefined) return 'conflict';
  if (delivery.status !== 'held') delivery.resendFrom ??= delivery.status;
  delivery.status = 'pending';
  return 'retried';
}

/** Without a word from the worker that has them. */
export function endLeases({ deliveries }: EndpointModel): void {
  for (const delivery of deliveries.values()) delivery.leaseIsOver = delivery.lease !== undefined;
}

/** By the engine itself, which tells others of it. */
function moveTo(endpoint: EndpointModel, status: EndpointStatus, reason: string, tells: string = status): void {
  changeStatus(endpoint, status, reason);
  endpoint.operationalEvents.push(`webhook.endpoint_${tells}`);
}

function changeStatus(endpoint: EndpointModel, status: EndpointStatus, reason: string | null): void {
  endpoint.reason = reason;
  if (endpoint.status === status) return;
  endpoint.status = status;
  endpoint.history.push({ to: status, reason });
  if (status === 'active') endpoint.consecutiveFailures = 0;
  if (!takesDeliveries(endpoint)) holdPending(endpoint);
}

/** What is being sent at this moment is not touched: its result counts. */
function holdPending({ deliveries }: EndpointModel): void {
  for (const delivery of deliveries.values()) {
    if (delivery.status !== 'pending' || delivery.lease !== undefined) continue;
    const { resendFrom } = delivery;
    delivery.status = resendFrom === undefined || resendFrom === 'pending' ? 'held' : resendFrom;
    delivery.resendFrom = undefined;
  }
}

function deliveryOf({ deliveries }: EndpointModel, id: string): DeliveryModel {
  const delivery = deliveries.get(id);
  if (delivery === undefined) throw new Error(`The model has no delivery ${id}.`);
  return delivery;
}
