import { fork } from 'node:child_process';
import { once } from 'node:events';

/** Calls a function of another process; one call at a time. */
export interface RemoteProcess<Call, Reply> {
  /** Rejects when the process ends before it answers. */
  readonly call: (call: Call) => Promise<Reply>;
  readonly close: () => Promise<void>;
}

/**
 * Starts a module that answers every message with `reply`, in a process of its own: it shares neither thread nor heap
 * with what is measured here. It ends when it is disconnected.
 * @param name what the process is there for, where a module runs in several
 */
export function startProcess<Call extends object | string, Reply>(
  module: URL,
  name?: string,
): RemoteProcess<Call, Reply> {
  // Without what this process was started with, such as --cpu-prof.
  const child = fork(module, name === undefined ? [] : [name], { serialization: 'advanced', execArgv: [] });
  const exit = once(child, 'exit');
  const ended = exit.then(([code, signal]) => {
    throw new Error(`${child.spawnargs.slice(1).join(' ')} ended with ${code ?? signal} before it answered.`);
  });
  ended.catch(() => {}); // of interest to whoever waits for an answer
  return {
    call: (call) => {
      const answered = new Promise<Reply>((resolve) => {
        child.once('message', resolve);
        child.send(call, () => {}); // where nobody is left to send it to, `ended` tells
      });
      return Promise.race([answered, ended]);
    },
    close: async () => {
      if (child.connected) child.disconnect();
      await exit;
    },
  };
}

/** The other side: answers the call that has come in. An error ends the process. */
export async function reply(answer: Promise<object>): Promise<void> {
  process.send?.(await answer);
}
