import type { BenchArguments } from './arguments.ts';
import { type RemoteProcess, startProcess } from './childProcess.ts';
import type { Measurement, OpenVariant } from './rounds.ts';
import type { VariantCall } from './variantProcess.ts';

/** A variant in a process of its own, which is idle while another one is measured. */
export interface StartedVariant extends OpenVariant {
  /** Before the first round. */
  readonly open: () => Promise<void>;
  /** Also in the middle of a round. */
  readonly close: () => Promise<void>;
}

/** @param databaseUrl of its own database; without it the database is embedded in its process */
export function startVariant(given: BenchArguments, name: string, databaseUrl: string | undefined): StartedVariant {
  const remote: RemoteProcess<VariantCall, Measurement> = startProcess(
    new URL('./variantProcess.ts', import.meta.url),
    name,
  );
  return {
    name,
    open: async () => {
      await remote.call({ do: 'open', given, name, databaseUrl });
    },
    measure: (n) => remote.call({ do: 'measure', n }),
    close: remote.close,
  };
}
