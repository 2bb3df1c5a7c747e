import { type RemoteProcess, startProcess } from './childProcess.ts';
import type { Behaviour, Received, ReceiverCall } from './receiverProcess.ts';

/** Local endpoints in a process of their own. */
export interface LocalReceiver {
  /** One for each behaviour, each with a port of its own. */
  readonly urls: readonly string[];
  /** Of the first endpoint. */
  readonly url: string;
  /** What came to an endpoint since it was last asked. */
  readonly takeReceived: (place?: number) => Promise<Received>;
  readonly close: () => Promise<void>;
}

const atOnce: Behaviour = { kind: 'at-once' };

export async function startReceiver(behaviours: readonly Behaviour[] = [atOnce]): Promise<LocalReceiver> {
  const remote: RemoteProcess<ReceiverCall, Received> = startProcess(new URL('./receiverProcess.ts', import.meta.url));
  const { urls } = await remote.call({ do: 'listen', behaviours });
  return {
    urls,
    url: urls[0] ?? '',
    takeReceived: (place = 0) => remote.call({ do: 'take', place }),
    close: remote.close,
  };
}

/** Throws unless every delivery came, and was answered with 200, exactly once. */
export function checkReceived(
  { requests, refused, arrivals }: Pick<Received, 'requests' | 'refused' | 'arrivals'>,
  expected: number,
): void {
  if (requests - refused === expected && arrivals.size === expected) return;
  throw new Error(
    `The receiver got ${requests} requests with ${arrivals.size} webhook-ids, and refused ${refused}, instead of ${expected}.`,
  );
}
