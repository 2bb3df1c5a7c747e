import type { Observation } from '../../src/observe/observation.ts';
import { startProcessorClock } from '../processorTime.ts';
import { openProduct } from '../product.ts';
import type { Variant } from '../rounds.ts';
import { checkHealthyReceived, forgetReceived } from './received.ts';
import { checkDelivered, refillDeliveries } from './rows.ts';
import type { DeliveryScenario } from './scenario.ts';

/** Deliveries that are due in the database, until the last result of a healthy endpoint is committed. */
export function moonguard(scenario: DeliveryScenario): Variant {
  return { name: 'moonguard', measure: () => measure(scenario) };
}

/** The same deliveries to the same healthy endpoints, with nothing to deliver to the others. */
export function moonguardHealthyAlone(scenario: DeliveryScenario): Variant {
  return { name: 'moonguard-healthy-alone', measure: () => measure({ ...scenario, unhealthy: [] }) };
}

async function measure(scenario: DeliveryScenario) {
  const { database, events, healthy, unhealthy } = scenario;
  const deliveries = events * healthy.length;
  const healthyIds = healthy.map(({ id }) => id);
  await refillDeliveries(database.db, events, [...healthyIds, ...unhealthy.map(({ id }) => id)]);
  await forgetReceived(scenario);
  const delivered = countDelivered(deliveries, { mayFail: scenario.name === 'failing' || unhealthy.length > 0 });
  const product = await openProduct(database, delivered.observe);

  const processorTime = startProcessorClock(database.server?.databaseName);
  const startedAt = performance.now();
  await product.start();
  await delivered.all;
  const seconds = (performance.now() - startedAt) / 1000;
  const measurement = { figure: deliveries / seconds, processorTime: processorTime(deliveries) };

  await product.stop();
  const refused = await checkHealthyReceived(scenario);
  await checkDelivered(database.db, healthyIds, { delivered: deliveries, refused });
  return measurement;
}

/** Resolves when so many are recorded as delivered; rejects when anything is reported that should not happen. */
function countDelivered(expected: number, { mayFail }: { readonly mayFail: boolean }) {
  const { promise: all, resolve, reject } = Promise.withResolvers<void>();
  let left = expected;
  const observe = (observation: Observation): void => {
    if (observation.type === 'delivery.delivered') {
      left--;
      if (left === 0) resolve();
    } else if (isTrouble(observation, mayFail)) {
      reject(new Error(`Unexpected: ${JSON.stringify(observation)}`));
    }
  };
  return { all, observe };
}

function isTrouble({ type }: Observation, mayFail: boolean): boolean {
  if (type === 'delivery.failed') return !mayFail;
  return type.startsWith('delivery.') && type !== 'delivery.claimed' && type !== 'delivery.settled';
}
