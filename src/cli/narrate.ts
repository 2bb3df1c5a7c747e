import type { Config } from '../config.ts';
import { createLogger, levelOf, logObservations } from '../observe/log.ts';
import type { Observation, Observe } from '../observe/observation.ts';
import { systemRuntime } from '../runtime.ts';
import { count, print } from './output.ts';

/** Lines for people at a terminal, JSON lines on standard error for whoever collects logs. */
export function observeFor({ logLevel }: Pick<Config, 'logLevel'>): Observe {
  return process.stdout.isTTY ? narrateObservation : logObservations(createLogger(logLevel));
}

/** One line about what has just happened: `10:12:01  received   transaction.created  …`. */
export function narrate(verb: string, what: string, detail = ''): void {
  const clock = new Date(systemRuntime.now()).toTimeString().slice(0, 8);
  print(`${clock}  ${verb.padEnd(10)} ${what.padEnd(33)} ${detail}`.trimEnd());
}

/** Tells somebody at a terminal what the server does. */
export const narrateObservation: Observe = (observation) => {
  const line = lineOf(observation);
  if (line === undefined) reportTrouble(observation);
  else narrate(...line);
};

/** Of what happens all the time when everything goes well. */
function lineOf(observation: Observation): Parameters<typeof narrate> | undefined {
  const { type } = observation;
  if (type === 'event.received') {
    const { eventName, deliveries } = observation;
    return [
      'received',
      eventName,
      `stored, for ${deliveries === 0 ? 'no endpoint' : count(deliveries, 'endpoint', 'endpoints')}`,
    ];
  }
  if (type === 'event.duplicate') return ['duplicate', 'known already', 'answered with 200, not stored again'];
  if (type === 'event.late') return ['late', observation.eventName, 'kept; a newer state was there before it'];
  if (type === 'event.refused') return ['refused', observation.code, observation.reason];
  if (type === 'delivery.delivered')
    return ['delivered', observation.deliveryId, `${Math.round(observation.durationMs)} ms`];
  if (type === 'delivery.failed') {
    const { deliveryId, errorClass, nextAttemptInMs } = observation;
    return ['failed', deliveryId, `${errorClass}, again in ${seconds(nextAttemptInMs)}`];
  }
  return undefined;
}

/** What somebody should act on, and nothing else, on standard error. */
export const reportTrouble: Observe = (observation) => {
  const level = levelOf(observation);
  if (level === 'warn' || level === 'error') console.error(`${level}: ${troubleText(observation)}`);
};

function troubleText(observation: Observation): string {
  if (observation.type === 'master_key.generated') {
    return `made a master key, which encrypts stored secrets: ${observation.file}. Keep a copy; without it they are lost.`;
  }
  const { type, ...details } = observation;
  const pairs = Object.entries(details).map(([name, value]) => `${name}=${String(value)}`);
  return [type, ...pairs].join(' ');
}

export function seconds(milliseconds: number): string {
  return `${(milliseconds / 1000).toFixed(1)} s`;
}
