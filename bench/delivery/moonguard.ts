import type { Database } from '../../src/database/database.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { startProcessorClock } from '../processorTime.ts';
import { openProduct, subscribe } from '../product.ts';
import type { Measurement } from '../rounds.ts';
import { checkHealthyReceived, forgetReceived } from './received.ts';
import { checkDelivered, refillDeliveries } from './rows.ts';
import type { BenchEndpoint, DeliveryScenario, DeliveryVariant, MeasureDeliveries } from './scenario.ts';

/** As pg-boss and BullMQ try again when nothing else is said. */
const AT_ONCE = { initial_delay_ms: 0, backoff_strategy: 'fixed', jitter: 0 } as const;
/** Longer than any answer takes, and not much longer than a round: its end waits for what hangs. */
const TIMEOUT_MS = 5_000;

/** Deliveries that are due in the database, until the last result of a healthy endpoint is committed. */
export const moonguard: DeliveryVariant = { name: 'moonguard', open };

/** The same deliveries to the same healthy endpoints, with nothing to deliver to the others. */
export const moonguardHealthyAlone: DeliveryVariant = {
  name: 'moonguard-healthy-alone',
  open: async (whole) => {
    const measureAll = await open(whole);
    return (round) => measureAll({ ...round, unhealthy: [] });
  },
};

/** Subscribes the receiver's ports. */
async function open({ name, receiver, database }: DeliveryScenario): Promise<MeasureDeliveries> {
  const opened = await database.open();
  const ids = await subscribe(opened, receiver.urls, {
    retryPolicy: name === 'failing' ? AT_ONCE : {},
    deliverySettings: { timeout_ms: TIMEOUT_MS },
  });
  return (round) => measure(round, opened, ids);
}

/** @param ids of our endpoints, in the order of the receiver's ports */
async function measure(round: DeliveryScenario, database: Database, ids: readonly string[]): Promise<Measurement> {
  const { events, healthy, unhealthy } = round;
  const deliveries = events * healthy.length;
  const idsOf = (endpoints: readonly BenchEndpoint[]): string[] => endpoints.map(({ place }) => ids[place] ?? '');
  await refillDeliveries(database.db, events, idsOf([...healthy, ...unhealthy]));
  await forgetReceived(round);
  const delivered = countDelivered(deliveries, { mayFail: round.name === 'failing' || unhealthy.length > 0 });
  const product = await openProduct(database, delivered.observe);

  const processorTime = startProcessorClock(round.database.server?.databaseName);
  const startedAt = performance.now();
  await product.start();
  await delivered.all;
  const seconds = (performance.now() - startedAt) / 1000;
  const measurement = { figure: deliveries / seconds, processorTime: processorTime(deliveries) };

  await product.stop();
  const refused = await checkHealthyReceived(round);
  await checkDelivered(database.db, idsOf(healthy), { delivered: deliveries, refused });
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
