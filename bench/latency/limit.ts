import { randomUUID } from 'node:crypto';
import { Agent } from 'undici';
import { webhookBody } from '../payload.ts';
import { postDirectly, unsignedHeaders } from '../postDirectly.ts';
import { measureArrivals } from './arrivals.ts';
import { CONNECTIONS, type LatencyVariant } from './scenario.ts';

/** Every event is posted to the endpoint by whoever has it: no database between them. */
export const sendOnly: LatencyVariant = {
  name: 'limit',
  open: async () => async (round) => {
    const agent = new Agent({ connections: CONNECTIONS, pipelining: 1 });
    const url = new URL(round.receiver.url);
    const measurement = await measureArrivals(round, async () => {
      const id = randomUUID();
      await postDirectly(agent, url, unsignedHeaders(`evt_${id}`), Buffer.from(webhookBody(id)));
      return `evt_${id}`;
    });
    await agent.close();
    return measurement;
  },
};
