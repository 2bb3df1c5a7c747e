import type { Environment } from '../observe/observation.ts';

/** What policies look at, whatever form MoonPay gave it. A fact is undefined when the event does not say it. */
export interface EventFacts {
  /** Undefined when somebody asks about a check that came by another way than an event. */
  readonly eventId: string | undefined;
  readonly environment: Environment;
  /** Our dotted name. */
  readonly eventName: string;
  /** MoonPay's type. */
  readonly eventType: string;
  readonly entityType: string | undefined;
  readonly entityId: string | undefined;
  /** MoonPay's id of the customer, else yours. */
  readonly customerId: string | undefined;
  readonly identityCheck: IdentityCheckFacts | undefined;
  /** The customer's: paid to by a buy, refunded to by a sale. */
  readonly walletAddress: string | undefined;
  /** Why the transaction or stages of it failed, as MoonPay's codes. */
  readonly failureCodes: readonly string[];
  /** The stages of the transaction that failed. */
  readonly failedStages: readonly string[];
}

export interface IdentityCheckFacts {
  readonly checkId: string | undefined;
  readonly result: string | undefined;
  readonly rejectType: string | undefined;
  readonly rejectLabels: readonly string[];
  readonly escalationReasons: readonly string[];
}

/** A stored event, as far as policies read it. */
export interface StoredEventFacts {
  readonly id: string;
  readonly environment: Environment;
  readonly event_name: string;
  readonly event_type: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  /** The webhook as JSON; null when it was none. */
  readonly event_data: unknown;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Never throws: what the payload says in an odd way it does not say. */
export function factsOf(event: StoredEventFacts): EventFacts {
  const root = isObject(event.event_data) ? event.event_data : {};
  // Identity checks come without their envelope too.
  const data = isObject(root['data']) ? root['data'] : root;
  const stages = listOf(data['stages']).filter(isObject);
  return {
    eventId: event.id,
    environment: event.environment,
    eventName: event.event_name,
    eventType: event.event_type,
    entityType: event.entity_type ?? undefined,
    entityId: event.entity_id ?? undefined,
    customerId: word(data['customerId']) ?? word(data['externalCustomerId']) ?? word(root['externalCustomerId']),
    identityCheck: event.event_name.startsWith('customer.kyc_') ? identityCheckOf(data) : undefined,
    walletAddress: word(data['walletAddress']) ?? word(data['refundWalletAddress']),
    failureCodes: words([data['failureReason'], ...stages.map((stage) => stage['failureReason'])]).map(failureCode),
    failedStages: words(stages.filter(({ status }) => word(status) === 'failed').map(({ stage }) => stage)),
  };
}

function identityCheckOf(data: JsonObject): IdentityCheckFacts {
  return {
    checkId: word(data['id']),
    result: word(data['result']),
    rejectType: word(data['rejectType']),
    rejectLabels: words(listOf(data['rejectLabels'])),
    escalationReasons: words(listOf(data['escalationReasons'])),
  };
}

/** At the top level the reason is a sentence, or a code in another order of words. */
function failureCode(reason: string): string {
  const code = reason.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');
  return code === 'kyc_rejected' ? 'rejected_kyc' : code;
}

/** Longer text is no id and no code. */
const LONGEST_WORD = 200;

function word(value: unknown): string | undefined {
  if (Number.isSafeInteger(value)) return String(value);
  if (typeof value !== 'string') return undefined;
  const trimmed = value.trim();
  return trimmed === '' || trimmed.length > LONGEST_WORD ? undefined : trimmed;
}

function words(values: readonly unknown[]): string[] {
  return values.map(word).filter((value) => value !== undefined);
}

/** MoonPay prints some lists as one string where there is one entry. */
function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
