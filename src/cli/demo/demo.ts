import { setTimeout as sleep } from 'node:timers/promises';
import type { Config } from '../../config.ts';
import { systemRuntime } from '../../runtime.ts';
import { oneOf } from '../../simulate/providerEvent.ts';
import { playScenario, scenarioAbout, scenarioNames } from '../../simulate/scenario.ts';
import { sendEvent } from '../../simulate/sendEvent.ts';
import { print } from '../output.ts';
import { stopInTime, untilSignal } from '../shutdown.ts';
import { type Stage, setUp } from './stage.ts';
import { printSummary } from './summary.ts';

/** Between two events: slow enough to read along, and over in a few seconds. */
const PAUSE_MS = 100;
const TRICKLE_MS = 3_000;
/** Deliveries that are refused on purpose take about 2 s. */
const QUIET_WITHIN_MS = 20_000;
const QUIET_WHEN_STOPPED_MS = 2_000;

/** One round of every scenario, then an event now and then until somebody ends it; `once`: without that. */
export async function demo(config: Config, { once }: { readonly once: boolean }): Promise<void> {
  const stage = await setUp(config);
  const stop = new AbortController();
  void untilSignal().then(() => stop.abort());
  const pause: Pause = (milliseconds) =>
    sleep(milliseconds, undefined, { signal: stop.signal }).then(
      () => true,
      () => false,
    );
  try {
    await playRound(stage, pause);
    if (!once && (await untilQuiet(stage, QUIET_WITHIN_MS, pause))) {
      await printSummary(stage.moonguard);
      print(
        `Going on with a few events every ${TRICKLE_MS / 1000} s. Ctrl-C ends it; the next run finds this data.`,
        '',
      );
      while (await pause(TRICKLE_MS)) await playOne(stage, pause);
    }
    if (stop.signal.aborted) print('', 'Stopping: finishing what is under way.');
    await untilQuiet(stage, stop.signal.aborted ? QUIET_WHEN_STOPPED_MS : QUIET_WITHIN_MS, patience);
    await printSummary(stage.moonguard);
  } finally {
    await stopInTime(stage.tearDown);
  }
  print('Stopped.');
}

/** Resolves to whether to go on after it. */
type Pause = (milliseconds: number) => Promise<boolean>;

const patience: Pause = (milliseconds) => sleep(milliseconds, true);

async function playRound({ target }: Stage, pause: Pause): Promise<void> {
  for (const name of scenarioNames) {
    print('', `${scenarioAbout(name)}:`);
    for (const event of playScenario(name, systemRuntime)) {
      await sendEvent(event, target);
      if (!(await pause(PAUSE_MS))) return;
    }
  }
}

async function playOne({ target }: Stage, pause: Pause): Promise<void> {
  for (const event of playScenario(oneOf(systemRuntime, scenarioNames), systemRuntime)) {
    await sendEvent(event, target);
    if (!(await pause(PAUSE_MS))) return;
  }
}

/** Waits until everything is delivered and decided, or the time is over. Resolves to whether to go on. */
async function untilQuiet({ moonguard, told }: Stage, withinMs: number, pause: Pause): Promise<boolean> {
  const deadlineMs = systemRuntime.now() + withinMs;
  let goesOn = true;
  while (goesOn && systemRuntime.now() < deadlineMs) {
    const { undecidedEvents } = await moonguard.inventory();
    const { pendingDeliveries } = await moonguard.webhooks.getStats();
    if (undecidedEvents === 0 && pendingDeliveries === 0) break;
    goesOn = await pause(PAUSE_MS);
  }
  await told();
  return goesOn;
}
