import { expect, test } from 'vitest';
import { Rounds } from './Rounds.ts';

/** Rounds that the test ends, each with the pause after it. */
function underControl() {
  const begun: ((pauseMs: number) => void)[] = [];
  let waiting: (() => void) | undefined;
  const rounds = new Rounds(() => {
    const { promise, resolve } = Promise.withResolvers<number>();
    begun.push(resolve);
    waiting?.();
    return promise;
  });
  const until = async (count: number): Promise<void> => {
    while (begun.length < count) {
      await new Promise<void>((resolve) => {
        waiting = resolve;
      });
    }
  };
  return { rounds, begun, until, end: (round: number, pauseMs: number) => begun[round]?.(pauseMs) };
}

test('the first round begins at once, the next after the pause', async () => {
  const { rounds, begun, until, end } = underControl();
  rounds.start();
  expect(begun).toHaveLength(1);
  end(0, 5);
  await until(2);
  end(1, 60_000);
  await rounds.stop();
  expect(begun).toHaveLength(2);
});

test('who wakes it during a round is sure of one more, not of two', async () => {
  const { rounds, begun, until, end } = underControl();
  rounds.start();
  rounds.wake();
  rounds.wake();
  expect(begun).toHaveLength(1);
  end(0, 60_000);
  await until(2);
  end(1, 60_000);
  await rounds.stop();
  expect(begun).toHaveLength(2);
});

test('waking brings the next round forward, and never puts it off', async () => {
  const { rounds, until, end } = underControl();
  rounds.start();
  end(0, 60_000);
  await Promise.resolve();
  rounds.wake(5);
  rounds.wake(60_000);
  await until(2);
  end(1, 0);
  await rounds.stop();
});

test('stopping waits for the round under way, and nothing wakes it afterwards', async () => {
  const { rounds, begun, end } = underControl();
  rounds.start();
  const stopped = rounds.stop();
  rounds.wake();
  end(0, 0);
  await stopped;
  rounds.wake();
  expect(rounds.isStopped).toBe(true);
  expect(begun).toHaveLength(1);
});

test('started again after it was stopped in a pause, and that pause is over, it begins at once', async () => {
  const { rounds, begun, end } = underControl();
  rounds.start();
  const pauseOverMs = performance.now() + 20;
  end(0, 10);
  await new Promise(setImmediate);
  await rounds.stop();
  while (performance.now() < pauseOverMs);
  rounds.start();
  expect(begun).toHaveLength(2);
  end(1, 60_000);
  await rounds.stop();
});
