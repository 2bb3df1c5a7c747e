import type { Alert } from '../compliance/alert.ts';
import type { ComplianceService } from '../compliance/ComplianceService.ts';
import type { Database, Db } from '../database/database.ts';
import type { Runtime } from '../runtime.ts';
import type { NewApproval, PolicyApproval } from './approval.ts';
import { consequencesOf } from './consequences.ts';
import type { DecidedSubject } from './decision.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import { type AskedSubject, gatherInputs } from './gatherInputs.ts';
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
  readonly sets: Pick<PolicySets, 'current'>;
}

/** What was written because of decisions. */
export interface Written {
  /** New, or with one more hit. */
  readonly alerts: readonly Alert[];
  /** New, or still pending from before. */
  readonly approvals: readonly PolicyApproval[];
}

/** Decides on subjects without writing anything: one round trip. */
export async function evaluateSubjects(
  db: Db,
  asked: readonly AskedSubject[],
  lists: ListLookup,
  { newId }: Pick<Runtime, 'newId'>,
): Promise<DecidedSubject[]> {
  const gathered = await gatherInputs(db, asked);
  return asked.flatMap(({ subject, policies }, place) => {
    const inputs = gathered[place];
    if (inputs === undefined) return [];
    return [{ decisionId: newId(), subject, ...evaluatePolicies(policies, inputs, lists) }];
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
