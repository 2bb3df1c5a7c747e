import type { Db } from '../database/database.ts';
import type { CompiledPolicy } from './compilePolicy.ts';
import type { Subject } from './decision.ts';
import { type Aggregate, durationSeconds } from './document.ts';
import type { DecisionInputs, EventInput } from './inputs.ts';
import { moneyOf } from './money.ts';
import { customerInput, transactionInput } from './rowInputs.ts';
import {
  type AggregateQuery,
  decisionInputs,
  type InputsRow,
  type InputsSubject,
  type RequestFacts,
} from './store/decisionInputs.ts';

/** A subject and the policies that may have something to say about it. */
export interface AskedSubject {
  readonly subject: Subject;
  readonly policies: readonly CompiledPolicy[];
}

export interface Gathered {
  readonly inputs: DecisionInputs;
  /** Of the policies, when the inputs were read. */
  readonly revision: number;
}

/** Everything that decisions on these subjects are made from, in their order, as the database has it now: one round trip. */
export async function gatherInputs(db: Db, asked: readonly AskedSubject[]): Promise<Gathered[]> {
  if (asked.length === 0) return [];
  const queries = new Map<string, AggregateQuery>();
  for (const { policies } of asked) for (const [id, { query }] of aggregatesOf(policies)) queries.set(id, query);
  const rows = await decisionInputs(db, asked.map(inputsSubject), [...queries.values()]);
  return rows.flatMap((row, place) => {
    const one = asked[place];
    return one === undefined ? [] : [{ inputs: inputsOf(one, row), revision: row.revision }];
  });
}

interface AskedAggregate {
  readonly definition: Aggregate;
  readonly query: AggregateQuery;
}

/** Requests with one name ask the same policies, until these change. */
const known = new WeakMap<readonly CompiledPolicy[], ReadonlyMap<string, AskedAggregate>>();

/** By id: each definition once, however many of the policies ask for it. */
function aggregatesOf(policies: readonly CompiledPolicy[]): ReadonlyMap<string, AskedAggregate> {
  const found = known.get(policies);
  if (found !== undefined) return found;
  const asked = new Map<string, AskedAggregate>();
  for (const { id, definition } of policies.flatMap(({ aggregates }) => aggregates)) {
    if (!asked.has(id)) asked.set(id, { definition, query: aggregateQuery(id, definition) });
  }
  known.set(policies, asked);
  return asked;
}

function inputsSubject({ subject, policies }: AskedSubject): InputsSubject {
  const aggregates = [...aggregatesOf(policies).keys()];
  const { eventId, event } = subject;
  if (eventId !== undefined) return { event_id: eventId, aggregates };
  return {
    facts: requestFacts(event),
    fields: event.fields,
    transaction_id: subject.transactionId,
    aggregates,
  };
}

/** The same facts that moonguard.record_facts_of takes from a webhook. */
function requestFacts(event: EventInput): RequestFacts {
  return {
    environment: event.environment,
    event_name: event.name,
    entity_type: event.entity_type,
    entity_id: event.entity_id,
    status: event.status,
    customer: event.customer_id ?? event.external_customer_id,
    wallet: event.wallet?.address.toLowerCase(),
    card: event.card_id,
    country: event.country,
    payment_method: event.payment_method,
    fiat_currency: event.fiat?.currency,
    fiat_amount: event.fiat?.amount,
    crypto_currency: event.crypto?.currency,
    crypto_amount: event.crypto?.amount,
  };
}

function aggregateQuery(id: string, definition: Aggregate): AggregateQuery {
  const { key, where } = definition;
  return {
    id,
    function: definition.function,
    of: definition.of,
    currency: definition.currency ?? 'event',
    per: definition.per ?? 'transaction',
    key: typeof key === 'string' ? key : 'field',
    field: typeof key === 'string' ? undefined : key.field,
    window_seconds: durationSeconds(definition.window),
    includes_current: definition.current !== 'exclude',
    // Names hold no % and no backslash, but _, which LIKE takes for any character.
    events: where?.events?.map((name) => name.replaceAll('_', '\\_').replace('*', '%')),
    status: where?.status,
    country: where?.country,
    payment_method: where?.payment_method,
    currencies: where?.currency,
  };
}

function inputsOf({ subject, policies }: AskedSubject, row: InputsRow): DecisionInputs {
  const absent: Record<string, string> = { ...subject.absent };
  const aggregates: Record<string, number | string | null> = {};
  for (const [id, { definition }] of aggregatesOf(policies)) {
    const { value, reason } = aggregateValue(definition, row.aggregates[id] ?? null, subject.event);
    aggregates[id] = value;
    if (reason !== undefined) absent[`aggregates.${definition.name}`] = reason;
  }
  const now = row.now.toISOString();
  return {
    policies: [],
    event: subject.eventId === undefined ? { ...subject.event, at: now } : subject.event,
    customer: customerInput(row.customer),
    transaction: transactionInput(row.transaction),
    aggregates,
    lists: {},
    waivers: row.waivers,
    now,
    ...(Object.keys(absent).length > 0 && { absent }),
  };
}

interface AggregateValue {
  readonly value: number | string | null;
  /** Why there is no value. */
  readonly reason?: string;
}

/** Amounts of fiat money as whole minor units, never rounded; of crypto as decimal text. */
function aggregateValue(definition: Aggregate, text: string | null, event: EventInput): AggregateValue {
  const { function: kind, of } = definition;
  if (kind === 'count' || kind === 'distinct') return { value: Number(text) };
  if (of === 'crypto' && text !== null) return { value: text };
  const wanted = definition.currency ?? 'event';
  const currency = wanted === 'event' ? event[of === 'crypto' ? 'crypto' : 'fiat']?.currency : wanted;
  if (currency === undefined) return { value: null, reason: 'the event names no currency' };
  if (text === null) return { value: null };
  const { minor } = moneyOf({ currency, amount: text, kind: 'fiat' }).money ?? {};
  if (minor === undefined) return { value: null, reason: `${text} ${currency} is no whole number of minor units` };
  return { value: Number.isSafeInteger(Number(minor)) ? Number(minor) : minor };
}
