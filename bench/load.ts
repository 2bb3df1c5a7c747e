import { type RemoteProcess, startProcess } from './childProcess.ts';
import type { LoadCall, LoadResult } from './loadProcess.ts';

/** Posts signed webhooks from a process of its own, over connections that are kept. */
export interface Load {
  /** Makes new, signed events and connects, so that `post` does nothing but post. */
  readonly prepare: (url: string, requests: number) => Promise<void>;
  /** Rejects unless every request was answered with 200. */
  readonly post: () => Promise<LoadResult>;
  readonly close: () => Promise<void>;
}

export function startLoad(options: { readonly connections: number; readonly webhookKey: string }): Load {
  const remote: RemoteProcess<LoadCall, LoadResult> = startProcess(new URL('./loadProcess.ts', import.meta.url));
  return {
    prepare: async (url, requests) => {
      await remote.call({ do: 'prepare', url, requests, ...options });
    },
    post: async () => {
      const result = await remote.call({ do: 'post' });
      if (result.refused > 0) throw new Error(`${result.refused} requests were refused, such as: ${result.refusal}`);
      return result;
    },
    close: remote.close,
  };
}
