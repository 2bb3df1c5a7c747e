import type { Observation } from '../../src/observe/observation.ts';
import { startProcessorClock } from '../processorTime.ts';
import { openProduct, subscribe } from '../product.ts';
import { checkReceived } from '../receiver.ts';
import type { Variant } from '../rounds.ts';
import { checkDelivered, refillDeliveries } from './rows.ts';
import type { DeliveryScenario } from './scenario.ts';

/** Deliveries that are due in the database, until the last result is committed. */
export async function moonguard({ deliveries, receiver, database }: DeliveryScenario): Promise<Variant> {
  const [endpointId = ''] = await subscribe(database, [receiver.url]);
  return {
    name: 'moonguard',
    measure: async () => {
      await refillDeliveries(database.db, deliveries, endpointId);
      await receiver.takeReceived();
      const delivered = countDelivered(deliveries);
      const product = await openProduct(database, delivered.observe);

      const processorTime = startProcessorClock(database.server?.databaseName);
      const startedAt = performance.now();
      await product.start();
      await delivered.all;
      const seconds = (performance.now() - startedAt) / 1000;
      const measurement = { figure: deliveries / seconds, processorTime: processorTime(deliveries) };

      await product.stop();
      checkReceived(await receiver.takeReceived(), deliveries);
      await checkDelivered(database.db, deliveries, endpointId);
      return measurement;
    },
  };
}

/** Resolves when so many are recorded as delivered; rejects as soon as anything else is reported of a delivery. */
function countDelivered(expected: number) {
  const { promise: all, resolve, reject } = Promise.withResolvers<void>();
  let left = expected;
  const observe = (observation: Observation): void => {
    if (observation.type === 'delivery.delivered') {
      left--;
      if (left === 0) resolve();
    } else if (observation.type.startsWith('delivery.') && observation.type !== 'delivery.claimed') {
      reject(new Error(`Unexpected: ${JSON.stringify(observation)}`));
    }
  };
  return { all, observe };
}
