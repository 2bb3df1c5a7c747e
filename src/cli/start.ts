import type { Config } from '../config.ts';
import { type Environment, environments } from '../observe/observation.ts';
import { receiveUrl } from '../simulate/sendEvent.ts';
import { invocation, packageVersion } from './invocation.ts';
import { observeFor } from './narrate.ts';
import { count, print } from './output.ts';
import { type Running, runServer } from './runningServer.ts';
import { stopInTime, untilSignal } from './shutdown.ts';

export interface ServerOptions {
  readonly migrate: boolean;
  /** Whether it delivers and decides too, besides receiving. */
  readonly worker: boolean;
}

/** Runs the server until a signal ends it. */
export async function start(config: Config, { migrate, worker }: ServerOptions): Promise<void> {
  print(`Moonguard ${packageVersion()} is starting. Where there is no database yet it is made first.`);
  const running = await runServer(config, observeFor(config), { migrate, worker });
  const signal = untilSignal();
  print(...(await welcome(running, config, worker)));
  await signal;
  print('Stopping: finishing what is under way.');
  await stopInTime(running.stop);
  print('Stopped.');
}

async function welcome(
  { server, moonguard, madeSandboxKey }: Running,
  config: Config,
  worker: boolean,
): Promise<string[]> {
  const { kind } = moonguard.database;
  const keys = await moonguard.providerKeys.list();
  const { activeWebhooks } = await moonguard.webhooks.getStats();
  const hasKey = (environment: Environment): boolean => keys.some((key) => key.environment === environment);
  const addresses = environments.map((environment) => {
    const address = `${environment.padEnd(10)}  ${receiveUrl(server.url, environment)}`;
    return hasKey(environment)
      ? address
      : `${address}  (refuses everything until ${invocation(`keys add ${environment}`)})`;
  });
  const isProduction = config.isProduction || hasKey('production');
  return [
    '',
    ...item('Receive', ...addresses),
    ...item('Deliver', worker ? deliveryText(activeWebhooks) : NOT_HERE),
    ...item('Health', `${server.url}/healthz, with the database ${server.url}/readyz`),
    ...item('Database', ...(kind === 'embedded' ? embeddedAt(config.dataDirectory) : [placeOf(config.databaseUrl)])),
    '',
    ...(kind === 'embedded' && isProduction ? [...WARNING, ''] : []),
    ...(madeSandboxKey ? ['The sandbox has got a made-up webhook key, to try it with.'] : []),
    'Send sample events, in a second terminal:',
    '',
    ...(hasKey('sandbox') ? [] : [`  ${GENERATE_KEY}`]),
    `  ${simulateCommand(server.url, config)}`,
    '',
    'Ctrl-C stops.',
    '',
  ];
}

function deliveryText(activeWebhooks: number): string {
  return activeWebhooks > 0 ? `to ${count(activeWebhooks, 'endpoint', 'endpoints')}` : NOBODY;
}

const NOT_HERE = `not in this process, which only receives: ${invocation('worker')}`;

const NOBODY = `to nobody yet; ${invocation('webhooks create --help')}`;

const GENERATE_KEY = invocation('keys add sandbox --generate');

const WARNING = [
  'WARNING: production on the embedded database. A loss of power can destroy it, and with it webhooks that MoonPay takes',
  'for delivered. Set DATABASE_URL to a PostgreSQL before real events arrive.',
];

/** A label, and lines beside it. */
function item(label: string, ...lines: readonly string[]): string[] {
  return lines.map((line, place) => `  ${(place === 0 ? label : '').padEnd(10)}${line}`);
}

function embeddedAt(dataDirectory: string): string[] {
  return [
    `embedded, in ${dataDirectory}; it survives a killed process, not a loss of power (fsync is off).`,
    'DATABASE_URL switches to PostgreSQL.',
  ];
}

/** Without the password. */
function placeOf(databaseUrl: string | undefined): string {
  const url = URL.parse(databaseUrl ?? '');
  return url === null ? 'PostgreSQL' : `PostgreSQL at ${url.host}${url.pathname}`;
}

/** What differs from the defaults has to be said, because the other terminal does not know it. */
function simulateCommand(serverUrl: string, config: Config): string {
  const options = [
    serverUrl === DEFAULT_SERVER_URL ? [] : ['--url', serverUrl],
    config.databaseUrl !== undefined || config.dataDirectory === DEFAULT_DATA_DIRECTORY
      ? []
      : ['--data-directory', config.dataDirectory],
  ].flat();
  return invocation(['simulate', ...options].join(' '));
}

const DEFAULT_SERVER_URL = 'http://127.0.0.1:3000';
const DEFAULT_DATA_DIRECTORY = './data';
