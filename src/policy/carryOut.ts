import type { Alert } from '../compliance/alert.ts';
import type { ComplianceService } from '../compliance/ComplianceService.ts';
import type { Db } from '../database/database.ts';
import type { Decision } from './evaluate.ts';
import type { PolicyService } from './PolicyService.ts';

export interface DecisionServices {
  readonly compliance: Pick<ComplianceService, 'createAlert'>;
  readonly policies: Pick<PolicyService, 'logPolicyExecution'>;
}

/** Raises the alerts and writes the log of a decision; returns the alerts, new or with one more hit. */
export async function carryOut(
  { alerts, executions }: Decision,
  { compliance, policies }: DecisionServices,
  options: { readonly transaction: Db; readonly actor?: string | undefined },
): Promise<Alert[]> {
  const raised: Alert[] = [];
  for (const alert of alerts) raised.push(await compliance.createAlert(alert, options));
  await policies.logPolicyExecution(executions, options);
  return raised;
}
