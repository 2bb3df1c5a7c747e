import type { KeyObject } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../config.ts';
import { errorCatalogue, MoonguardError } from '../errors.ts';
import type { Environment } from '../observe/observation.ts';
import { providerKeySecret } from '../receive/verifySignature.ts';
import { systemRuntime } from '../runtime.ts';
import type { ProviderEvent } from '../simulate/providerEvent.ts';
import { playScenario, type ScenarioName, scenarioNames } from '../simulate/scenario.ts';
import { type Answer, sendEvent } from '../simulate/sendEvent.ts';
import type { DataOptions } from './command.ts';
import { print, printJson } from './output.ts';
import { findSandboxKey } from './sandboxKey.ts';
import { withMoonguard } from './session.ts';

export interface SimulateOptions extends DataOptions {
  readonly url?: string;
  readonly environment: Environment;
  readonly key?: string;
  readonly scenario: ScenarioName | 'all';
  readonly count?: number;
  readonly rate?: number;
}

interface Sent extends Answer {
  readonly type: string;
  readonly state: string | null;
  readonly entityId: string;
}

/** Sends events one after the other, and tells how each was answered as soon as it is. */
export async function simulate(options: SimulateOptions, config: Config): Promise<void> {
  const { environment, rate } = options;
  const serverUrl = options.url ?? `http://${config.host}:${config.port}`;
  const target = { serverUrl, environment, key: await signingKey(options, config), runtime: systemRuntime };
  const sent: Sent[] = [];
  for (const event of events(options)) {
    if (rate !== undefined && sent.length > 0) await sleep(1000 / rate);
    const answer = await sendEvent(event, target);
    const { id: entityId, status: state = null } = event.data;
    if (!options.json && sent.length === 0) printLine('EVENT', 'STATE', 'OF', 'ANSWER', 'MS');
    sent.push({ type: event.type, state, entityId, ...answer });
    if (!options.json) printLine(event.type, state ?? '', entityId, answerText(answer), `${answer.durationMs}`);
  }
  tell(sent, options);
}

function tell(sent: readonly Sent[], { json }: SimulateOptions): void {
  const refused = sent.filter((each) => !isAccepted(each));
  const duplicates = sent.filter(({ duplicate }) => duplicate);
  const counts = {
    sent: sent.length,
    stored: sent.length - refused.length - duplicates.length,
    duplicates: duplicates.length,
    refused: refused.length,
  };
  if (refused.length > 0) process.exitCode = 1;
  if (json) return printJson({ ...counts, answers: sent });
  print(
    '',
    Object.entries(counts)
      .map(([name, number]) => `${number} ${name}`)
      .join(', '),
  );
  for (const code of new Set(refused.map(({ error }) => error))) {
    const known = Object.entries(errorCatalogue).find(([name]) => name === code);
    if (known !== undefined) print(`${code}: ${known[1].action}`);
  }
}

/** Without a count each scenario once, else over and over. */
function* events({ scenario, count = Number.POSITIVE_INFINITY }: SimulateOptions): Generator<ProviderEvent> {
  const names = scenario === 'all' ? scenarioNames : [scenario];
  let left = count;
  do {
    for (const event of names.flatMap((name) => playScenario(name, systemRuntime))) {
      if (left-- <= 0) return;
      yield event;
    }
  } while (Number.isFinite(count));
}

/**
 * The key that the server verifies with. A stored key of production signs nothing made up unless somebody gives it here.
 * @throws MoonguardError provider_key_missing
 */
async function signingKey(options: SimulateOptions, config: Config): Promise<KeyObject> {
  const { environment } = options;
  const isSandbox = environment === 'sandbox';
  const isEmbedded = config.databaseUrl === undefined;
  const given =
    options.key ??
    config.webhookKeys[environment][0] ??
    (isSandbox && isEmbedded ? findSandboxKey(config.dataDirectory) : undefined);
  if (given !== undefined) return providerKeySecret('given', given).key;
  if (isSandbox && !isEmbedded) {
    const [stored] = await withMoonguard(options, ({ providerKeys }) => providerKeys.current('sandbox'));
    if (stored !== undefined) return stored.key;
  }
  const where = isEmbedded ? `in ${config.dataDirectory}` : 'in the database';
  const hint = `give one with --key or MOONPAY_WEBHOOK_KEYS_${environment.toUpperCase()}`;
  throw new MoonguardError(
    'provider_key_missing',
    `No webhook key ${where} to sign events of ${environment} with: ${hint}.`,
  );
}

function isAccepted({ status }: Answer): boolean {
  return status >= 200 && status < 300;
}

function answerText(answer: Answer): string {
  if (isAccepted(answer)) return `${answer.status} ${answer.duplicate ? 'duplicate' : 'stored'}`;
  return `${answer.status} ${answer.error ?? ''}`.trimEnd();
}

/** As wide as the longest type, state and id. */
function printLine(event: string, state: string, entityId: string, answer: string, ms: string): void {
  print(`${event.padEnd(33)}  ${state.padEnd(20)}  ${entityId.padEnd(36)}  ${answer.padEnd(14)}  ${ms.padStart(4)}`);
}
