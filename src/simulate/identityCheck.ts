import type { Customer } from './customer.ts';
import { isoTime, type ProviderEvent, type Source } from './providerEvent.ts';

interface IdentityResult {
  readonly status: 'pending' | 'completed';
  readonly result: 'clear' | 'rejected' | null;
  readonly rejectType?: 'final' | 'retry';
  readonly rejectLabels?: readonly string[];
  readonly resultDescription?: string;
}

/** From the start of a check to its end. */
const TAKES_MS = 4 * 60_000;

/** A check that begins and ends. */
function identityCheck(source: Source, customer: Customer, end: IdentityResult): ProviderEvent[] {
  const id = source.newId();
  const createdAtMs = source.now() - TAKES_MS;
  const event = (updatedAtMs: number, state: IdentityResult): ProviderEvent => ({
    type: 'identity_check_updated',
    externalCustomerId: customer.externalId,
    data: {
      id,
      createdAt: isoTime(createdAtMs),
      updatedAt: isoTime(updatedAtMs),
      customerId: customer.id,
      externalCustomerId: customer.externalId,
      level: 2,
      status: state.status,
      result: state.result,
      resultDescription: state.resultDescription ?? null,
      rejectType: state.rejectType ?? null,
      rejectLabels: state.rejectLabels ?? [],
      escalationReasons: null,
      rejections: state.result === 'rejected' ? 1 : 0,
    },
  });
  return [event(createdAtMs, { status: 'pending', result: null }), event(createdAtMs + TAKES_MS, end)];
}

export function approvedIdentity(source: Source, customer: Customer): ProviderEvent[] {
  return identityCheck(source, customer, { status: 'completed', result: 'clear' });
}

/** The customer may try again. */
export function unclearIdentity(source: Source, customer: Customer): ProviderEvent[] {
  const rejectLabels = ['Document Incomplete'];
  return identityCheck(source, customer, {
    status: 'completed',
    result: 'rejected',
    rejectType: 'retry',
    rejectLabels,
  });
}

export function rejectedIdentity(source: Source, customer: Customer): ProviderEvent[] {
  return identityCheck(source, customer, {
    status: 'completed',
    result: 'rejected',
    rejectType: 'final',
    rejectLabels: ['Forged Document'],
    resultDescription: 'The document could not be accepted',
  });
}
