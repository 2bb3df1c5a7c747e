import type { Config } from '../../config.ts';
import { MoonguardError } from '../../errors.ts';
import type { Moonguard } from '../../moonguard.ts';
import type { Observe } from '../../observe/observation.ts';
import type { Inventory } from '../../observe/store/readInventory.ts';
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
  const endpointNames = new Map<string, string>();
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
  const receiver = await startReceiver(TROUBLED_ENDPOINT, narrateArrival);
  const tearDown = async (): Promise<void> => {
    await server.close();
    // Nothing asks the database any more when it is closed.
    running = undefined;
    await telling;
    await closeEndpoints(moonguard.webhooks, endpointNames);
    await moonguard.stop();
    await receiver.close();
  };
  try {
    const before = await moonguard.inventory();
    for (const [id, name] of await openEndpoints(moonguard.webhooks, receiver)) endpointNames.set(id, name);
    const [key] = await moonguard.providerKeys.current('sandbox');
    if (key === undefined) throw new MoonguardError('provider_key_missing', 'The sandbox has no webhook key.');
    print(
      '',
      `Database   embedded, in ${config.dataDirectory}. ${whatIsThere(before)}`,
      `Receiving  ${receiveUrl(server.url, 'sandbox')}`,
      `Delivering ${[...endpointNames.values()].map((name) => receiver.urlOf(name)).join(', ')}`,
    );
    const target = { serverUrl: server.url, environment: 'sandbox', key: key.key, runtime: systemRuntime } as const;
    return { moonguard, target, told: () => telling, tearDown };
  } catch (error) {
    await tearDown();
    throw error;
  }
}

function whatIsThere({ events, deliveries, alerts, policyLogRows }: Inventory): string {
  if (events === 0) return 'It is new and empty.';
  return `It holds from before: ${events} events, ${deliveries} deliveries, ${alerts} alerts, ${policyLogRows} policy log rows.`;
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
