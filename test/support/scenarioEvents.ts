import type { Database } from '../../src/database/database.ts';
import { parseEvent } from '../../src/receive/parseEvent.ts';
import { type IncomingEvent, storeEvents } from '../../src/receive/store/storeEvents.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { bodyOf, oneOf } from '../../src/simulate/providerEvent.ts';
import { playScenario, scenarioNames } from '../../src/simulate/scenario.ts';

/**
 * Verified webhooks of stories that are told by chance, the same in every run. Customers come back, so that there is
 * something to count; some of their identity checks come late.
 */
export function scenarioEvents(count: number): IncomingEvent[] {
  let state = 1;
  // Park and Miller's minimal standard generator.
  const random = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647;
  const source = { ...systemRuntime, random };
  const stories = scenarioNames.filter((name) => name !== 'duplicates' && name !== 'out_of_order');
  const customers = Array.from({ length: Math.ceil(count / 20) }, (_, place) => `customer_${place}`);
  const events: IncomingEvent[] = [];
  while (events.length < count) {
    const customerId = oneOf(source, customers);
    for (const event of playScenario(oneOf(source, stories), source)) {
      const rawBody = bodyOf({ ...event, data: { ...event.data, customerId } });
      const parsed = parseEvent(rawBody, 'sandbox');
      events.push({ id: systemRuntime.newId(), environment: 'sandbox', rawBody, signature: 't=1,s=00', parsed });
    }
  }
  return events.slice(0, count);
}

/** In the order given. */
export async function storeAll({ db }: Pick<Database, 'db'>, events: readonly IncomingEvent[]): Promise<void> {
  for (let from = 0; from < events.length; from += 200) await storeEvents(db, events.slice(from, from + 200));
}
