import type { Db } from '../database/database.ts';
import { consequencesOf } from './consequences.ts';
import { type DecisionServices, evaluateSubjects, type Written, writeDecisions } from './decideSubjects.ts';
import type { DecidedSubject, Subject } from './decision.ts';
import { type AskedSubject, type Gathered, gatherInputs } from './gatherInputs.ts';
import type { PolicySet } from './PolicySets.ts';

export interface DecidedRequest extends Written {
  readonly decided: DecidedSubject;
}

/** Decides on what somebody asks about, and returns once that is in the log. */
export async function decideRequest(
  subject: Subject,
  services: DecisionServices,
  within?: Db,
): Promise<DecidedRequest> {
  const { database, runtime, log } = services;
  const { asked, gathered, policies } = await gatherForRequest(subject, services, within);
  const decided = evaluateSubjects(asked, gathered, policies.lists, runtime);
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

interface GatheredForRequest {
  readonly policies: PolicySet;
  readonly asked: readonly AskedSubject[];
  readonly gathered: readonly Gathered[];
}

/**
 * Gathers what the policies that are known want to know, and learns with it whether they are still the ones: a round trip to
 * ask for that beforehand was a tenth of a decision.
 */
async function gatherForRequest(
  subject: Subject,
  { database, sets, requests }: DecisionServices,
  within: Db | undefined,
): Promise<GatheredForRequest> {
  const db = within ?? database.db;
  const { name, environment } = subject.event;
  let policies = sets.latest ?? (await sets.current(db));
  for (;;) {
    const asked = [{ subject, policies: policies.candidates(name, environment) }];
    const gathered = await (within === undefined ? requests.run(asked) : gatherInputs(within, asked));
    const { revision } = gathered[0] ?? policies;
    if (revision === policies.revision) return { policies, asked, gathered };
    policies = await sets.current(db, revision);
  }
}
