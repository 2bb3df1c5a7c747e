import type { Config } from '../config.ts';
import { createLogger, logObservations } from '../observe/log.ts';
import { environments } from '../observe/observation.ts';
import { receiveUrl } from '../simulate/sendEvent.ts';
import { invocation, packageVersion } from './invocation.ts';
import { narrateObservation } from './narrate.ts';
import { print } from './output.ts';
import { type Running, runServer } from './runningServer.ts';
import { stopInTime, untilSignal } from './shutdown.ts';

/** Runs the server until a signal ends it. */
export async function start(config: Config, { migrate }: { readonly migrate: boolean }): Promise<void> {
  // Lines for people at a terminal, JSON lines on standard error for whoever collects logs.
  const observe = process.stdout.isTTY ? narrateObservation : logObservations(createLogger(config.logLevel));
  const running = await runServer(config, observe, { migrate });
  const signal = untilSignal();
  print(...(await welcome(running, config)));
  await signal;
  print('Stopping: finishing what is under way.');
  await stopInTime(running.stop);
  print('Stopped.');
}

async function welcome({ server, moonguard, madeSandboxKey }: Running, config: Config): Promise<string[]> {
  const keys = await moonguard.providerKeys.list();
  const receiving = environments.map((environment) => {
    const hasKey = keys.some((key) => key.environment === environment);
    const note = hasKey ? '' : `  refuses everything until: ${invocation(`keys add ${environment}`)}`;
    return `  Receive  ${environment.padEnd(11)} ${receiveUrl(server.url, environment)}${note}`;
  });
  const isEmbedded = moonguard.database.kind === 'embedded';
  const hasProductionKey = keys.some(({ environment }) => environment === 'production');
  return [
    `Moonguard ${packageVersion()}`,
    '',
    ...receiving,
    `  Health               ${server.url}/healthz (this process), ${server.url}/readyz (database and schema)`,
    `  Database             ${isEmbedded ? `embedded, in ${config.dataDirectory}` : placeOf(config.databaseUrl)}`,
    ...(isEmbedded ? embeddedNote(config.isProduction || hasProductionKey) : []),
    '',
    ...(madeSandboxKey ? ['The sandbox has got a made-up webhook key to try it with.'] : []),
    'Send sample events, in a second terminal:',
    '',
    `  ${simulateCommand(server.url, config)}`,
    '',
    'Ctrl-C stops.',
    '',
  ];
}

function embeddedNote(isSerious: boolean): string[] {
  const indent = ' '.repeat(23);
  if (!isSerious) {
    return [
      `${indent}It survives a killed process, not a loss of power (fsync is off). DATABASE_URL switches to PostgreSQL.`,
    ];
  }
  return [
    '',
    '  WARNING: production on the embedded database. It runs with fsync off: a loss of power can destroy it, webhooks that',
    '  MoonPay was told are safe included. Set DATABASE_URL to a PostgreSQL before real events arrive.',
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
