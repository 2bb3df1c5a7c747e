import type { Db } from '../database/database.ts';
import { consequencesOf } from './consequences.ts';
import { type DecisionServices, evaluateSubjects, type Written, writeDecisions } from './decideSubjects.ts';
import type { DecidedSubject, Subject } from './decision.ts';
import { gatherInputs } from './gatherInputs.ts';

export interface DecidedRequest extends Written {
  readonly decided: DecidedSubject;
}

/** Decides on what somebody asks about, and returns once that is in the log. */
export async function decideRequest(
  subject: Subject,
  services: DecisionServices,
  within?: Db,
): Promise<DecidedRequest> {
  const { database, sets, runtime, log } = services;
  const db = within ?? database.db;
  const policies = await sets.current(db);
  const { event } = subject;
  const asked = [{ subject, policies: policies.candidates(event.name, event.environment) }];
  const decided = evaluateSubjects(asked, await gatherInputs(db, asked), policies.lists, runtime);
  const [one] = decided;
  if (one === undefined) throw new Error('a subject that was asked about was not decided on');
  const { alerts, approvals } = consequencesOf(one);
  if (within === undefined && alerts.length === 0 && approvals.length === 0) {
    // Shares its commit with what others log at the moment.
    await log.writeDecisions(undefined, decided);
    return { decided: one, alerts: [], approvals: [] };
  }
  const written = await database.transaction((transaction) => writeDecisions(transaction, decided, services), within);
  return { decided: one, ...written };
}
