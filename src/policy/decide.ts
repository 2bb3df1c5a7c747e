import type { Database, Db } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { isUnavailable } from '../database/unavailable.ts';
import type { Observation, Observe } from '../observe/observation.ts';
import { carryOut, type DecisionServices } from './carryOut.ts';
import { evaluate } from './evaluate.ts';
import { factsOf } from './eventFacts.ts';
import { claimUndecidedEvents, type UndecidedEvent } from './store/claimUndecidedEvents.ts';
import { markDecisionFailed } from './store/markDecisionFailed.ts';
import { markEventsDecided } from './store/markEventsDecided.ts';

/** Then an event is set aside: it stays undecided, with the error, and is not tried again. */
const MAX_FAILURES = 5;

export interface DecideDependencies extends DecisionServices {
  readonly database: Database;
  readonly observe: Observe;
}

type Outcome = Extract<Observation, { type: 'event.decided' | 'event.decide_failed' }>;

/**
 * Decides on up to `limit` stored events, the oldest first, and returns on how many. Alerts, log rows and the mark that
 * the event is decided are one transaction: after a crash the event is undecided and nothing was written. An event whose
 * decision fails is counted and does not hold up the others.
 */
export async function decideBatch(dependencies: DecideDependencies, limit: number): Promise<number> {
  const { database, observe } = dependencies;
  const outcomes = await database.transaction(async (transaction) => {
    const events = await claimUndecidedEvents(transaction, { limit, maxFailures: MAX_FAILURES });
    const decided: Outcome[] = [];
    for (const event of events) decided.push(await decide(event, dependencies, transaction));
    const ids = decided.filter(({ type }) => type === 'event.decided').map(({ eventId }) => eventId);
    await markEventsDecided(transaction, ids);
    return decided;
  });
  for (const outcome of outcomes) observe(outcome);
  return outcomes.length;
}

async function decide(event: UndecidedEvent, services: DecisionServices, transaction: Db): Promise<Outcome> {
  try {
    const decision = evaluate(factsOf(event));
    if (decision.executions.length > 0) {
      await inSavepoint(transaction, () => carryOut(decision, services, { transaction }));
    }
    return { type: 'event.decided', eventId: event.id, hits: decision.hits.length };
  } catch (error) {
    // Not the event's fault: the whole batch is tried again.
    if (isUnavailable(error)) throw error;
    const reason = `the decision failed: ${neutralReason(error)}`;
    await markDecisionFailed(transaction, event.id, reason);
    if (event.failures + 1 === MAX_FAILURES) await logSetAside(event, error, services, transaction);
    return { type: 'event.decide_failed', eventId: event.id, reason };
  }
}

/** What went wrong, in full, where only compliance reads it. */
async function logSetAside(
  event: UndecidedEvent,
  error: unknown,
  { policies }: DecisionServices,
  transaction: Db,
): Promise<void> {
  try {
    await inSavepoint(transaction, () =>
      policies.logPolicyExecution(
        {
          policyId: 'compliance_rule_event_decision',
          policyName: 'Decision on an event',
          policyType: 'compliance_rule',
          actionType: 'rule_failed',
          executionStatus: 'failure',
          severity: 'error',
          requiresAction: true,
          triggeredBy: event.event_name,
          source: 'moonpay_event',
          correlationId: `evt_${event.id}`,
          reason: `No decision on this event after ${MAX_FAILURES} attempts.`,
          notes: error instanceof Error ? error.message : String(error),
        },
        { transaction },
      ),
    );
  } catch (logError) {
    // The log itself may be what refuses; the event keeps its reason either way.
    if (isUnavailable(logError)) throw logError;
  }
}
