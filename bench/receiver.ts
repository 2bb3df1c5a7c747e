import { type RemoteProcess, startProcess } from './childProcess.ts';
import type { Received } from './receiverProcess.ts';

/** A local endpoint in a process of its own that answers 200 at once. */
export interface LocalReceiver {
  readonly url: string;
  /** What came since it was last asked. */
  readonly takeReceived: () => Promise<Received>;
  readonly close: () => Promise<void>;
}

export async function startReceiver(): Promise<LocalReceiver> {
  const remote: RemoteProcess<'take', Received> = startProcess(new URL('./receiverProcess.ts', import.meta.url));
  const takeReceived = (): Promise<Received> => remote.call('take');
  const { url } = await takeReceived();
  return { url, takeReceived, close: remote.close };
}

/** Throws unless every delivery came exactly once. */
export function checkReceived({ requests, arrivals }: Received, expected: number): void {
  if (requests === expected && arrivals.size === expected) return;
  throw new Error(`The receiver got ${requests} requests with ${arrivals.size} webhook-ids instead of ${expected}.`);
}
