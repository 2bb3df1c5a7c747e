import { randomUUID } from 'node:crypto';
import { Agent } from 'undici';
import { webhookBody } from '../payload.ts';
import { postDirectly, unsignedHeaders } from '../postDirectly.ts';
import type { Variant } from '../rounds.ts';
import { measureArrivals } from './arrivals.ts';
import { CONNECTIONS, type LatencyScenario } from './scenario.ts';

/** Every event is posted to the endpoint by whoever has it: no database between them. */
export function sendOnly(scenario: LatencyScenario): Variant {
  return {
    name: 'limit',
    measure: async () => {
      const agent = new Agent({ connections: CONNECTIONS, pipelining: 1 });
      const url = new URL(scenario.receiver.url);
      const measurement = await measureArrivals(scenario, async () => {
        const id = randomUUID();
        await postDirectly(agent, url, unsignedHeaders(`evt_${id}`), Buffer.from(webhookBody(id)));
        return `evt_${id}`;
      });
      await agent.close();
      return measurement;
    },
  };
}
