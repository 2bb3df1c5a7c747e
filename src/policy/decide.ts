import type { Db } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { SYSTEM_ACTOR } from '../input/writeOptions.ts';
import type { Observation, Observe } from '../observe/observation.ts';
import { candidatesFor } from './candidates.ts';
import { type DecisionServices, decideSubjects } from './decideSubjects.ts';
import type { DecidedSubject, Subject } from './decision.ts';
import { eventInputOf } from './eventInput.ts';
import type { AskedSubject } from './gatherInputs.ts';
import type { PolicySet } from './PolicySets.ts';
import { setAside } from './setAside.ts';
import { type ClaimedEvent, claimEventsToDecide } from './store/claimEventsToDecide.ts';
import { markDecisionFailed } from './store/markDecisionFailed.ts';
import { markEventsDecided } from './store/markEventsDecided.ts';
import { recordEventFacts } from './store/recordEventFacts.ts';

/** Then an event is set aside: it stays undecided, with the error, and is not tried again. */
const MAX_FAILURES = 5;
/** How many of the oldest events are looked at for some that may be decided now: others wait, or are another process's. */
const LOOK_AT = 500;

export interface DecideDependencies extends DecisionServices {
  readonly observe: Observe;
}

type Outcome = Extract<Observation, { type: 'event.decided' | 'event.decide_failed' | 'event.set_aside' }>;

interface Batch {
  readonly policies: PolicySet;
  readonly limit: number;
}

/**
 * Decides on up to `limit` stored events, the oldest first, and returns on how many. Log rows, alerts, approvals and the
 * mark that the event is decided are one transaction: after a crash the event is undecided and nothing was written. Events
 * of one customer are decided in the order in which they came, by however many processes.
 *
 * When a batch cannot be written, it is done again event by event: the one that fails is counted, waits, and holds up only
 * what came after it of the same customer.
 */
export async function decideBatch(dependencies: DecideDependencies, limit: number): Promise<number> {
  const { database, observe, sets } = dependencies;
  const { undecided, revision } = await recordEventFacts(database.db, LOOK_AT);
  if (undecided === 0) return 0;
  const batch = { policies: await sets.current(database.db, revision), limit };
  const outcomes = await decideTogether(batch, dependencies).catch((error: unknown) => {
    // Not an event's fault: the batch is tried again.
    if (isUnavailable(error)) throw error;
    return decideOneByOne(batch, dependencies);
  });
  for (const outcome of outcomes) observe(outcome);
  return outcomes.length;
}

function decideTogether(batch: Batch, dependencies: DecideDependencies): Promise<Outcome[]> {
  return dependencies.database.transaction(async (transaction) => {
    const events = await claimEventsToDecide(transaction, { limit: batch.limit, lookAt: LOOK_AT });
    return decideEvents(transaction, events, batch, dependencies);
  });
}

function decideOneByOne(batch: Batch, dependencies: DecideDependencies): Promise<Outcome[]> {
  return dependencies.database.transaction(async (transaction) => {
    const outcomes: Outcome[] = [];
    const held = new Set<string>();
    for (const event of await claimEventsToDecide(transaction, { limit: batch.limit, lookAt: LOOK_AT })) {
      if (held.has(event.order_key)) continue;
      try {
        outcomes.push(
          ...(await inSavepoint(transaction, () => decideEvents(transaction, [event], batch, dependencies))),
        );
      } catch (error) {
        if (isUnavailable(error)) throw error;
        held.add(event.order_key);
        outcomes.push(await countFailure(transaction, event, error, dependencies));
      }
    }
    return outcomes;
  });
}

async function decideEvents(
  transaction: Db,
  events: readonly ClaimedEvent[],
  { policies }: Batch,
  dependencies: DecideDependencies,
): Promise<Outcome[]> {
  const asked = events.flatMap((event) => askedOf(event, policies));
  const decided = await decideSubjects(transaction, asked, policies.lists, dependencies);
  await markEventsDecided(
    transaction,
    events.map(({ id }) => id),
  );
  const hits = new Map(decided.map((one) => [one.subject.eventId, hitsOf(one)]));
  return events.map(({ id }) => ({ type: 'event.decided', eventId: id, hits: hits.get(id) ?? 0 }));
}

/** Nothing where no policy has anything to say about the event: then nothing is gathered for it. */
function askedOf(stored: ClaimedEvent, policies: PolicySet): AskedSubject[] {
  const named = policies.candidates(stored.event_name, stored.environment);
  if (named.length === 0) return [];
  const subject: Subject = {
    ...eventInputOf(stored),
    eventId: stored.id,
    correlationId: `evt_${stored.id}`,
    requestedBy: SYSTEM_ACTOR,
  };
  const remaining = candidatesFor(subject, named, stored.now);
  return remaining.length > 0 ? [{ subject, policies: remaining }] : [];
}

/** Of active policies. */
function hitsOf({ decision }: DecidedSubject): number {
  return decision.policies
    .filter(({ mode }) => mode === 'active')
    .flatMap(({ rules }) => rules)
    .filter(({ result }) => result === 'hit').length;
}

async function countFailure(
  transaction: Db,
  event: ClaimedEvent,
  error: unknown,
  dependencies: DecideDependencies,
): Promise<Outcome> {
  const reason = `the decision failed: ${neutralReason(error)}`;
  const failures = await markDecisionFailed(transaction, event.id, reason);
  if (failures < MAX_FAILURES) return { type: 'event.decide_failed', eventId: event.id, reason };
  await setAside(transaction, event, error, dependencies);
  return { type: 'event.set_aside', eventId: event.id, reason };
}
