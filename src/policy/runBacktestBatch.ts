import type { Database, Db } from '../database/database.ts';
import { neutralReason } from '../database/neutralReason.ts';
import { isUnavailable } from '../database/unavailable.ts';
import { inputError } from '../input/parseInput.ts';
import type { Observation } from '../observe/observation.ts';
import type { Backtest } from './backtest.ts';
import { type BacktestReport, withEvent } from './backtestReport.ts';
import { candidatesFor } from './candidates.ts';
import { type CompiledPolicy, compilePolicy } from './compilePolicy.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import { eventInputOf } from './eventInput.ts';
import { type AskedSubject, gatherInputs } from './gatherInputs.ts';
import type { ListLookup } from './listLookup.ts';
import type { PolicySets } from './PolicySets.ts';
import { decodePolicyVersion } from './policyVersion.ts';
import { endBacktest } from './store/endBacktest.ts';
import { findPolicyVersion } from './store/findPolicyVersion.ts';
import { type BacktestEvent, listBacktestEvents } from './store/listBacktestEvents.ts';
import { lockBacktest } from './store/lockBacktest.ts';
import { saveBacktestProgress } from './store/saveBacktestProgress.ts';

/** Events in one transaction: about a second, so that a cancelled backtest ends soon and little is done again after a crash. */
const BATCH = 500;

export interface BacktestDependencies {
  readonly database: Database;
  readonly sets: Pick<PolicySets, 'current'>;
}

/** What a batch came to. */
export type BacktestStep = Extract<
  Observation,
  { type: 'backtest.progressed' | 'backtest.completed' | 'backtest.failed' }
>;

/**
 * Evaluates the next events of a backtest and moves its place, in one transaction: killed at any moment, the batch is done
 * again and each event counts once. Nothing but the row of the backtest is written.
 * @param backtestId only this one; default: any that is running
 * @returns undefined: none is running, or others are at work on all of them
 */
export async function runBacktestBatch(
  { database, sets }: BacktestDependencies,
  backtestId?: string,
): Promise<BacktestStep | undefined> {
  let backtest: Backtest | undefined;
  try {
    return await database.transaction(async (transaction) => {
      backtest = await lockBacktest(transaction, backtestId);
      if (backtest === undefined) return undefined;
      const { lists } = await sets.current(transaction);
      return evaluateBatch(transaction, backtest, lists);
    });
  } catch (error) {
    if (isUnavailable(error) || backtest === undefined) throw error;
    // In full only where those who may see policies read it.
    await endBacktest(database.db, backtest.id, { failure: error instanceof Error ? error.message : String(error) });
    return { type: 'backtest.failed', backtestId: backtest.id, reason: neutralReason(error) };
  }
}

async function evaluateBatch(transaction: Db, backtest: Backtest, lists: ListLookup): Promise<BacktestStep> {
  const { id, policyId, version, comparedVersion } = backtest;
  const candidate = await compiledVersion(transaction, policyId, version);
  const compared = comparedVersion === null ? undefined : await compiledVersion(transaction, policyId, comparedVersion);
  const events = await listBacktestEvents(transaction, id, BATCH);
  const tried = events.filter((event) => event.has_body);
  const policies = compared === undefined ? [candidate] : [candidate, compared];
  const asked = tried.map((event) => askedOf(event, policies)).filter((one) => one.policies.length > 0);
  const gathered = await gatherInputs(transaction, asked);
  const report = asked.reduce<BacktestReport>((before, { event }, place) => {
    const asOfNow = gathered[place];
    if (asOfNow === undefined) return before;
    const inputs = { ...asOfNow.inputs, ...event.recorded, now: event.received_at.toISOString() };
    return withEvent(before, {
      eventId: event.id,
      isAsRecorded: event.recorded !== null,
      candidate: evaluatePolicies([candidate], inputs, lists),
      compared: compared && evaluatePolicies([compared], inputs, lists),
    });
  }, backtest.report);
  const isCompleted = await saveBacktestProgress(transaction, {
    id,
    evaluated: tried.length,
    skipped: events.length - tried.length,
    report,
    lastEventId: events.length < BATCH ? undefined : events.at(-1)?.id,
  });
  return { type: isCompleted ? 'backtest.completed' : 'backtest.progressed', backtestId: id, events: events.length };
}

/** As if it were active, whatever it is. */
async function compiledVersion(transaction: Db, policyId: string, version: number): Promise<CompiledPolicy> {
  const row = await findPolicyVersion(transaction, policyId, version);
  if (row === undefined) throw new Error(`version ${version} is gone`);
  const compiled = compilePolicy(decodePolicyVersion(row).document, { version, mode: 'active' });
  if ('problems' in compiled) throw inputError('policy_invalid', compiled.problems);
  return compiled.policy;
}

/** The event as a subject, and those of the policies that it alone does not rule out. */
function askedOf(
  event: BacktestEvent,
  policies: readonly CompiledPolicy[],
): AskedSubject & { readonly event: BacktestEvent } {
  const subject = {
    ...eventInputOf(event),
    eventId: event.id,
    correlationId: `evt_${event.id}`,
    requestedBy: 'backtest',
  };
  return { event, subject, policies: candidatesFor(subject, policies, event.received_at) };
}
