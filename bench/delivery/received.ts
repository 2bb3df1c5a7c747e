import { checkReceived } from '../receiver.ts';
import type { DeliveryScenario } from './scenario.ts';

/** Before a round: what came before it does not count. */
export async function forgetReceived({ receiver, healthy, unhealthy }: DeliveryScenario): Promise<void> {
  for (const { place } of [...healthy, ...unhealthy]) await receiver.takeReceived(place);
}

/**
 * After a round. Throws unless every healthy endpoint has got every event and has taken each once.
 * @returns how many requests they refused before
 */
export async function checkHealthyReceived({ receiver, healthy, events }: DeliveryScenario): Promise<number> {
  let refused = 0;
  for (const { place } of healthy) {
    const received = await receiver.takeReceived(place);
    checkReceived(received, events);
    refused += received.refused;
  }
  return refused;
}
