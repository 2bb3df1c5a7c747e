import type { BenchArguments } from './arguments.ts';
import { findBench } from './benches.ts';
import { reply } from './childProcess.ts';
import { benchDatabase } from './database.ts';
import type { Measurement, MeasureRound } from './rounds.ts';

/** The process behind `startVariant`. It lives as long as the run, as warm as a server, and loads nothing for the other variants. */

export type VariantCall =
  | {
      readonly do: 'open';
      readonly given: BenchArguments;
      readonly name: string;
      /** Without it the database is embedded in this process. */
      readonly databaseUrl: string | undefined;
    }
  | { readonly do: 'measure'; readonly n: number };

/** After `open`. */
const nothing: Measurement = { figure: Number.NaN, processorTime: { process: 0, database: undefined } };

let measure: MeasureRound = () => Promise.reject(new Error('No variant is open.'));

async function answer(call: VariantCall): Promise<Measurement> {
  switch (call.do) {
    case 'open': {
      const { variants } = await findBench(call.given);
      const variant = variants.find(({ name }) => name === call.name);
      if (variant === undefined) throw new Error(`No variant ${call.name} here.`);
      measure = await variant.open(benchDatabase(call.databaseUrl));
      return nothing;
    }
    case 'measure':
      return measure(call.n);
  }
}

process.on('message', (call: VariantCall) => void reply(answer(call)));
// So that listeners of `exit` remove what is of this process alone.
for (const end of ['disconnect', 'SIGINT', 'SIGTERM']) process.once(end, () => process.exit());
