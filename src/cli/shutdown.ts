import { systemRuntime } from '../runtime.ts';
import { print } from './output.ts';

/**
 * One Ctrl-C arrives twice when npm runs us: from the terminal and from npm, which passes on what it got. A second signal
 * within this time is the same one.
 */
const SAME_SIGNAL_MS = 1_000;
const DEADLINE_MS = 10_000;

/** Resolves when whoever runs the program wants it to end. A further signal ends it at once. */
export function untilSignal(): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let firstAtMs: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (firstAtMs === undefined) {
      firstAtMs = systemRuntime.now();
      resolve();
    } else if (systemRuntime.now() - firstAtMs > SAME_SIGNAL_MS) {
      process.exit(signal === 'SIGINT' ? 130 : 143);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return promise;
}

/** Runs `stop`, and ends the program when it takes too long: deliveries under way fall due again by themselves. */
export async function stopInTime(stop: () => Promise<void>): Promise<void> {
  const deadline = setTimeout(() => {
    print(
      `Not finished after ${DEADLINE_MS / 1000} s: ending now. What was under way is done again at the next start.`,
    );
    process.exit(1);
  }, DEADLINE_MS);
  await stop();
  clearTimeout(deadline);
}
