import type { Config } from '../../config.ts';
import { MoonguardError } from '../../errors.ts';
import type { Moonguard } from '../../moonguard.ts';
import type { Observe } from '../../observe/observation.ts';
import { systemRuntime } from '../../runtime.ts';
import { receiveUrl, type Target } from '../../simulate/sendEvent.ts';
import { print } from '../output.ts';
import { type Running, runServer } from '../runningServer.ts';
import { closeEndpoints, openEndpoints, TROUBLED_ENDPOINT } from './endpoints.ts';
import { narrateArrival, narrateDecision, narrateObserved } from './narrator.ts';
import { startReceiver } from './receiver.ts';

/** Everything that the demo needs, running. */
export interface Stage {
  readonly moonguard: Moonguard;
  /** Where made-up events are sent, and what they are signed with. */
  readonly target: Target;
  /** Resolves when every decision so far has been told. */
  readonly told: () => Promise<void>;
  readonly tearDown: () => Promise<void>;
}

/** Starts the server on the embedded database, and a receiver for its deliveries. */
export async function setUp(config: Config): Promise<Stage> {
  if (config.databaseUrl !== undefined) print('The demo leaves DATABASE_URL alone: it uses the embedded database.');
  print('Starting. The first time the database has to be made, which takes a few seconds.');
  let endpointNames: ReadonlyMap<string, string> = new Map();
  let telling = Promise.resolve();
  let running: Running | undefined;
  const observe: Observe = (observation) => {
    narrateObserved(observation, endpointNames);
    const moonguard = running?.moonguard;
    if (observation.type === 'event.decided' && moonguard !== undefined) {
      telling = telling.then(() => narrateDecision(moonguard, observation.eventId));
    }
  };
  running = await runWhereFree({ ...config, databaseUrl: undefined }, observe);
  const { moonguard, server } = running;
  const before = await moonguard.inventory();
  const receiver = await startReceiver(TROUBLED_ENDPOINT, narrateArrival);
  endpointNames = await openEndpoints(moonguard.webhooks, receiver);

  const [key] = await moonguard.providerKeys.current('sandbox');
  if (key === undefined) throw new MoonguardError('provider_key_missing', 'The sandbox has no webhook key.');
  const found =
    before.events === 0
      ? 'It is new and empty.'
      : `It holds from before: ${before.events} events, ${before.deliveries} deliveries, ${before.alerts} alerts, ${before.policyLogRows} policy log rows.`;
  print(
    '',
    `Database   embedded, in ${config.dataDirectory}. ${found}`,
    `Receiving  ${receiveUrl(server.url, 'sandbox')}`,
    `Delivering ${[...endpointNames.values()].map((name) => receiver.urlOf(name)).join(', ')}`,
  );
  return {
    moonguard,
    target: { serverUrl: server.url, environment: 'sandbox', key: key.key, runtime: systemRuntime },
    told: () => telling,
    tearDown: async () => {
      await server.close();
      await closeEndpoints(moonguard.webhooks, endpointNames);
      await moonguard.stop();
      await receiver.close();
    },
  };
}

/** The port that others use too is often taken on a developer's machine. */
async function runWhereFree(config: Config, observe: Observe): Promise<Running> {
  const more = { allowLoopbackDestinations: true };
  try {
    return await runServer(config, observe, more);
  } catch (error) {
    if (!(error instanceof MoonguardError) || error.code !== 'address_unavailable') throw error;
    return runServer({ ...config, port: 0 }, observe, more);
  }
}
