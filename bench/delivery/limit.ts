import { Agent } from 'undici';
import { postDirectly, unsignedHeaders } from '../postDirectly.ts';
import { startProcessorClock } from '../processorTime.ts';
import { makeEvents } from './events.ts';
import { checkHealthyReceived, forgetReceived } from './received.ts';
import { CONCURRENCY, type DeliveryVariant } from './scenario.ts';

/** The same requests over as many connections, from memory: nothing signed, nothing recorded. */
export const sendOnly: DeliveryVariant = {
  name: 'limit',
  open: async ({ events, healthy, connections }) => {
    const targets = healthy.map(({ url }) => new URL(url));
    const bodies = makeEvents(events).map(({ eventId, body }) => ({ id: `evt_${eventId}`, body: Buffer.from(body) }));
    const all = bodies.flatMap((body) => targets.map((target) => ({ ...body, target })));
    return async (round) => {
      const posts = all.slice(0, round.events * targets.length);
      const agent = new Agent({ connections, pipelining: 1 });
      const queue = posts.values();
      const postInTurn = async (): Promise<void> => {
        for (const { id, body, target } of queue) {
          while ((await postDirectly(agent, target, unsignedHeaders(id), body)).status !== 200);
        }
      };

      await forgetReceived(round);
      const processorTime = startProcessorClock(undefined);
      const startedAt = performance.now();
      await Promise.all(Array.from({ length: CONCURRENCY }, postInTurn));
      const seconds = (performance.now() - startedAt) / 1000;
      const measurement = { figure: posts.length / seconds, processorTime: processorTime(posts.length) };

      await agent.close();
      await checkHealthyReceived(round);
      return measurement;
    };
  },
};
