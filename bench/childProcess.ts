import { fork } from 'node:child_process';
import { once } from 'node:events';

/** Calls a function of another process; one call at a time. */
export interface RemoteProcess<Call, Reply> {
  readonly call: (call: Call) => Promise<Reply>;
  readonly close: () => Promise<void>;
}

/**
 * Starts a module that answers every message with `reply`, in a process of its own: it shares neither thread nor heap
 * with what is measured here. It ends when it is disconnected.
 */
export function startProcess<Call extends object | string, Reply>(module: URL): RemoteProcess<Call, Reply> {
  // Without what this process was started with, such as --cpu-prof.
  const child = fork(module, { serialization: 'advanced', execArgv: [] });
  let refuse: ((error: Error) => void) | undefined;
  child.on('exit', (code) => refuse?.(new Error(`${module.pathname} ended with ${code} before it answered.`)));
  return {
    call: (call) =>
      new Promise((resolve, reject) => {
        refuse = reject;
        child.once('message', resolve);
        child.send(call);
      }),
    close: async () => {
      if (child.exitCode !== null) return;
      const ended = once(child, 'exit');
      child.disconnect();
      await ended;
    },
  };
}

/** The other side: answers the call that has come in. An error ends the process. */
export async function reply(answer: Promise<object>): Promise<void> {
  process.send?.(await answer);
}
