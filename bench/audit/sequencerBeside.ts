import { startProcess } from '../childProcess.ts';
import type { BenchDatabase } from '../database.ts';
import type { Sequenced } from './benchSequencer.ts';
import type { SequencerCall } from './sequencerProcess.ts';

/** A sequencer in a process of its own, which is idle between rounds. */
export interface SequencerBeside {
  /** For so many rows, which are inserted afterwards. */
  readonly start: (rows: number) => Promise<void>;
  /** Resolves when all of them are signed, and nothing works any more. */
  readonly finish: () => Promise<Sequenced>;
}

export async function openSequencerBeside({ server }: BenchDatabase): Promise<SequencerBeside> {
  if (server === undefined) throw new Error('Nothing is beside an embedded database.');
  const remote = startProcess<SequencerCall, Sequenced>(new URL('./sequencerProcess.ts', import.meta.url));
  await remote.call({ do: 'open', databaseUrl: server.url });
  return {
    start: async (rows) => {
      await remote.call({ do: 'start', rows });
    },
    finish: () => remote.call({ do: 'finish' }),
  };
}
