import { setImmediate } from 'node:timers/promises';
import type { Alert } from '../compliance/alert.ts';
import type { ComplianceService } from '../compliance/ComplianceService.ts';
import type { Database, Db } from '../database/database.ts';
import type { Runtime } from '../runtime.ts';
import type { NewApproval, PolicyApproval } from './approval.ts';
import type { Batcher } from './Batcher.ts';
import { consequencesOf } from './consequences.ts';
import type { DecidedSubject } from './decision.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import { type AskedSubject, type Gathered, gatherInputs } from './gatherInputs.ts';
import type { ListLookup } from './listLookup.ts';
import type { PolicyApprovals } from './PolicyApprovals.ts';
import type { PolicyLogs } from './PolicyLogs.ts';
import type { PolicySets } from './PolicySets.ts';

/** What deciding works with: `PolicyService.deciding`. */
export interface DecisionServices {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'newId'>;
  readonly compliance: Pick<ComplianceService, 'createAlert'>;
  readonly approvals: Pick<PolicyApprovals, 'request'>;
  readonly log: Pick<PolicyLogs, 'log' | 'writeDecisions'>;
  readonly sets: Pick<PolicySets, 'current' | 'latest'>;
  /** `gatherInputs`, for requests that come at the same time. */
  readonly requests: Pick<Batcher<AskedSubject, Gathered>, 'run'>;
}

/** What was written because of decisions. */
export interface Written {
  /** New, or with one more hit. */
  readonly alerts: readonly Alert[];
  /** New, or still pending from before. */
  readonly approvals: readonly PolicyApproval[];
}

/** Subjects whose decisions are written in one statement; with every rule in the log some 2,000 rows, or 2 MB. */
const WRITTEN_TOGETHER = 20;

/**
 * Decides on subjects and writes what follows. The database writes one part while the next one is evaluated: with every
 * rule in the log the one takes 8 ms an event, the other 4 ms.
 * @returns the decisions to which some policy applied
 */
export async function decideSubjects(
  transaction: Db,
  asked: readonly AskedSubject[],
  lists: ListLookup,
  services: DecisionServices,
): Promise<DecidedSubject[]> {
  const gathered = await gatherInputs(transaction, asked);
  const all: DecidedSubject[] = [];
  let writing: Promise<unknown> = Promise.resolve();
  for (let first = 0; first < asked.length; first += WRITTEN_TOGETHER) {
    const next = asked.slice(first, first + WRITTEN_TOGETHER);
    const theirs = gathered.slice(first, first + WRITTEN_TOGETHER);
    const [decided] = await Promise.all([evaluateOnceSent(next, theirs, lists, services.runtime), writing]);
    all.push(...decided);
    writing = decided.length === 0 ? Promise.resolve() : writeDecisions(transaction, decided, services);
  }
  await writing;
  return all;
}

/** Begins after the statement before has been sent. */
async function evaluateOnceSent(...evaluated: Parameters<typeof evaluateSubjects>): Promise<DecidedSubject[]> {
  await setImmediate();
  return evaluateSubjects(...evaluated).filter(({ decision }) => decision.policies.length > 0);
}

export function evaluateSubjects(
  asked: readonly AskedSubject[],
  gathered: readonly Gathered[],
  lists: ListLookup,
  runtime: Pick<Runtime, 'newId'>,
): DecidedSubject[] {
  return asked.flatMap(({ subject, policies }, place) => {
    const { inputs } = gathered[place] ?? {};
    if (inputs === undefined) return [];
    return [{ decisionId: runtime.newId(), subject, ...evaluatePolicies(policies, inputs, lists) }];
  });
}

/** Writes the log of decisions, and the alerts and approvals that follow from them. */
export async function writeDecisions(
  transaction: Db,
  decided: readonly DecidedSubject[],
  { compliance, approvals, log }: DecisionServices,
): Promise<Written> {
  await log.writeDecisions(transaction, decided);
  const alerts: Alert[] = [];
  const wanted: NewApproval[] = [];
  for (const one of decided) {
    const consequences = consequencesOf(one);
    for (const alert of consequences.alerts) {
      alerts.push(await compliance.createAlert(alert, { transaction, actor: one.subject.requestedBy }));
    }
    wanted.push(...consequences.approvals);
  }
  return { alerts, approvals: await approvals.request(transaction, wanted) };
}
