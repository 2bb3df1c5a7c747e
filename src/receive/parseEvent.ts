import type { Environment } from '../observe/observation.ts';
import { dedupeKey } from './dedupeKey.ts';
import { type EventKind, nameEvent } from './eventName.ts';
import { fitsJsonb } from './jsonbText.ts';

/** Whom or what the event is about; events of one entity can be kept in order. */
export interface EventEntity {
  readonly type: 'transaction' | 'swap' | 'customer' | 'unknown';
  readonly id: string;
}

/**
 * What the rest of Moonguard needs from the payload. A fact is undefined when the payload has no such text, or one that
 * no text column or its index could take; the payload itself is kept either way.
 */
export interface EventFacts {
  /** Of the transaction, or of the identity check. */
  readonly id: string | undefined;
  readonly status: string | undefined;
  readonly createdAt: Date | undefined;
  readonly updatedAt: Date | undefined;
  /** MoonPay's id of the customer. */
  readonly customerId: string | undefined;
  /** The integrator's own id of the customer. */
  readonly externalCustomerId: string | undefined;
  readonly externalTransactionId: string | undefined;
  readonly result: string | undefined;
  readonly rejectType: string | undefined;
}

export interface ParsedEvent {
  /** MoonPay's `type` as received, or empty. */
  readonly providerType: string;
  readonly kind: EventKind;
  /** Our dotted name. */
  readonly name: string;
  /** Whether MoonPay documents this type. */
  readonly isHandled: boolean;
  /** Whether the data is the member `data` of the JSON; otherwise it is the JSON itself. */
  readonly hasEnvelope: boolean;
  /** The JSON exactly as received, so that digits survive; null when it is not JSON or PostgreSQL's jsonb refuses it. */
  readonly jsonText: string | null;
  /** Equal for two deliveries of one event. */
  readonly dedupeKey: string;
  readonly entity: EventEntity | undefined;
  readonly facts: EventFacts;
}

type JsonObject = Readonly<Record<string, unknown>>;

/** Keeps a byte order mark, which JSON forbids and PostgreSQL refuses. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Longest text that counts as a fact, in UTF-16 units: at most 1,500 bytes, and PostgreSQL indexes up to 2,704. */
const LONGEST_FACT = 500;

/** Reads a webhook of MoonPay. Takes any bytes and never throws: a body that makes no sense is an event without facts. */
export function parseEvent(rawBody: Uint8Array, environment: Environment): ParsedEvent {
  const json = readJson(rawBody);
  const root = isObject(json?.value) ? json.value : {};
  const enveloped = isObject(root['data']) ? root['data'] : undefined;
  const data = enveloped ?? root;

  const facts = readFacts(data, root);
  const providerType = text(root['type']) ?? typeOfUntyped(data, facts);
  const naming = nameEvent({ type: providerType, status: facts.status, result: facts.result });
  return {
    ...naming,
    providerType,
    hasEnvelope: enveloped !== undefined,
    jsonText: json !== undefined && fitsJsonb(json.text) ? json.text : null,
    dedupeKey: dedupeKey({
      environment,
      type: providerType.trim(),
      id: facts.id,
      updatedAt: text(data['updatedAt']),
      rawBody,
    }),
    entity: entityOf(naming.kind, facts),
    facts,
  };
}

function readJson(rawBody: Uint8Array): { text: string; value: unknown } | undefined {
  try {
    const json = utf8.decode(rawBody);
    return { text: json, value: JSON.parse(json) };
  } catch {
    return undefined;
  }
}

function readFacts(data: JsonObject, root: JsonObject): EventFacts {
  return {
    id: identifier(data['id']),
    status: enumValue(data['status']),
    createdAt: time(data['createdAt']),
    updatedAt: time(data['updatedAt']),
    customerId: identifier(data['customerId']),
    externalCustomerId: identifier(data['externalCustomerId']) ?? identifier(root['externalCustomerId']),
    externalTransactionId: identifier(data['externalTransactionId']),
    result: enumValue(data['result']),
    rejectType: enumValue(data['rejectType']),
  };
}

/** MoonPay's documentation prints identity checks without the envelope, and so without a type. */
function typeOfUntyped(data: JsonObject, facts: EventFacts): string {
  const isIdentityCheck =
    facts.id !== undefined &&
    facts.customerId !== undefined &&
    ['level', 'result', 'resultDescription', 'rejectType', 'rejections'].some((key) => Object.hasOwn(data, key));
  return isIdentityCheck ? 'identity_check_updated' : '';
}

const entityTypes: Readonly<Record<EventKind, EventEntity['type']>> = {
  buy: 'transaction',
  sell: 'transaction',
  swap: 'swap',
  identity: 'customer',
  other: 'unknown',
};

/** A customer is known by MoonPay's id alone: the customers' state is kept under it. */
function entityOf(kind: EventKind, facts: EventFacts): EventEntity | undefined {
  const id = kind === 'identity' ? facts.customerId : facts.id;
  return id === undefined ? undefined : { type: entityTypes[kind], id };
}

function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Text that a text column takes (no NUL, no half of a surrogate pair) and an index on it too. */
function text(value: unknown): string | undefined {
  if (typeof value !== 'string' || value === '' || value.length > LONGEST_FACT) return undefined;
  return value.includes('\0') || !value.isWellFormed() ? undefined : value;
}

function enumValue(value: unknown): string | undefined {
  return typeof value === 'string' ? text(value.trim()) : undefined;
}

/** A number beyond 2^53 has lost digits: it would be the id of something else. */
function identifier(value: unknown): string | undefined {
  return Number.isSafeInteger(value) ? String(value) : text(value);
}

/** Only a full ISO 8601 time with its zone; year 0 is one that PostgreSQL does not know. */
function time(value: unknown): Date | undefined {
  if (typeof value !== 'string') return undefined;
  if (!/^(?!0000)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/.test(value)) return undefined;
  const date = new Date(value);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
