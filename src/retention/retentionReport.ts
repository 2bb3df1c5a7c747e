import type { PolicyLogStep } from './store/planPolicyLogs.ts';
import type { RemovedRows } from './store/removeBatch.ts';

/** What a run removes, erases or empties. */
export interface RetentionReport extends RemovedRows {
  /** By partition, action and class. */
  readonly policyLogs: readonly PolicyLogStep[];
}

const emptyReport: RetentionReport = { events: 0, deliveries: 0, attempts: 0, bodies: 0, policyLogs: [] };

/** Adds up what the steps of a run did. */
export function addedUp(steps: readonly Partial<RetentionReport>[]): RetentionReport {
  return steps.reduce<RetentionReport>(
    (total, step) => ({
      events: total.events + (step.events ?? 0),
      deliveries: total.deliveries + (step.deliveries ?? 0),
      attempts: total.attempts + (step.attempts ?? 0),
      bodies: total.bodies + (step.bodies ?? 0),
      policyLogs: joined([...total.policyLogs, ...(step.policyLogs ?? [])]),
    }),
    emptyReport,
  );
}

function joined(steps: readonly PolicyLogStep[]): PolicyLogStep[] {
  const byKind = new Map<string, PolicyLogStep>();
  for (const step of steps) {
    const kind = [step.partition, step.action, step.retentionClass].join('\0');
    byKind.set(kind, { ...step, rows: step.rows + (byKind.get(kind)?.rows ?? 0) });
  }
  return Array.from(byKind)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([, step]) => step);
}
