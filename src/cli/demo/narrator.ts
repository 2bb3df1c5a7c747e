import type { Moonguard } from '../../moonguard.ts';
import type { Observation } from '../../observe/observation.ts';
import { narrate, narrateObservation, seconds } from '../narrate.ts';
import type { Arrival } from './receiver.ts';

export function narrateArrival({ endpoint, eventName, attempt, status }: Arrival): void {
  switch (status) {
    case 200:
      return narrate(
        'delivered',
        eventName,
        `to ${endpoint}, signatures verified${attempt > 1 ? ` (attempt ${attempt})` : ''}`,
      );
    case 401:
      return narrate('rejected', eventName, `by ${endpoint}: a signature is wrong`);
    case 500:
      return narrate('rejected', eventName, `by ${endpoint} with 500, on purpose (attempt ${attempt})`);
  }
}

/** What the receiver tells by itself is left out here. */
export function narrateObserved(observation: Observation, endpointNames: ReadonlyMap<string, string>): void {
  const { type } = observation;
  if (type === 'delivery.delivered') return;
  if (type !== 'delivery.failed') return narrateObservation(observation);
  const endpoint = endpointNames.get(observation.endpointId) ?? observation.endpointId;
  narrate('retry', observation.errorClass, `to ${endpoint} in ${seconds(observation.nextAttemptInMs)}`);
}

/** What was decided on one event: its rows of the policy log and the alerts it raised. */
export async function narrateDecision({ policies, compliance }: Moonguard, eventId: string): Promise<void> {
  const correlationId = `evt_${eventId}`;
  const logged = await policies.listLogs({ correlationId });
  for (const { actionType, policyName, policyId } of logged.items)
    narrate('policy log', actionType, policyName ?? policyId);
  if (logged.items.length === 0) return;
  const newest = await compliance.listAlerts({ limit: 20 });
  for (const { metadata, severity, alertType, title } of newest.items) {
    if (isObject(metadata) && metadata['correlationId'] === correlationId)
      narrate('ALERT', alertType, `${severity}: ${title}`);
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
