import { Agent } from 'undici';
import { webhookBody } from '../payload.ts';
import { postDirectly } from '../postDirectly.ts';
import { startProcessorClock } from '../processorTime.ts';
import { checkReceived } from '../receiver.ts';
import type { Variant } from '../rounds.ts';
import type { DeliveryScenario } from './scenario.ts';

/** The same requests over the same connections, from memory: nothing signed, nothing recorded. */
export function sendOnly({ deliveries, receiver, concurrency, connections }: DeliveryScenario): Variant {
  const events = Array.from({ length: deliveries }, (_, place) => {
    const id = `00000000-0000-7000-8000-${String(place).padStart(12, '0')}`;
    return { id, body: Buffer.from(webhookBody(id)) };
  });
  return {
    name: 'limit',
    measure: async () => {
      const agent = new Agent({ connections, pipelining: 1 });
      const url = new URL(receiver.url);
      const queue = events.values();
      const postInTurn = async (): Promise<void> => {
        for (const { id, body } of queue) await postDirectly(agent, url, `evt_${id}`, body);
      };

      await receiver.takeReceived();
      const processorTime = startProcessorClock(undefined);
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: concurrency }, postInTurn));
      const seconds = (performance.now() - startedAt) / 1000;
      const measurement = { figure: deliveries / seconds, processorTime: processorTime(deliveries) };

      await agent.close();
      checkReceived(await receiver.takeReceived(), deliveries);
      return measurement;
    },
  };
}
