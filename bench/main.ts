import { type BenchArguments, type BenchName, parseArguments, usage } from './arguments.ts';
import { type BenchDatabase, openBenchDatabase } from './database.ts';
import { deliveryBench } from './delivery/bench.ts';
import { historyBench } from './history/bench.ts';
import { ingestBench } from './ingest/bench.ts';
import { latencyBench } from './latency/bench.ts';
import { resultJson, resultTable } from './report.ts';
import { type Bench, runRounds, type Variant } from './rounds.ts';

const benches: Readonly<Record<BenchName, (database: BenchDatabase, given: BenchArguments) => Promise<Bench>>> = {
  delivery: deliveryBench,
  ingest: (database, { n }) => ingestBench(database, n),
  latency: (database, { n }) => latencyBench(database, n),
  history: (database, { n }) => historyBench(database, n),
};

async function run(given: BenchArguments): Promise<void> {
  const database = await openBenchDatabase(given.database, process.env['DATABASE_URL']);
  try {
    const bench = await benches[given.bench](database, given);
    try {
      await measure(bench, given);
    } finally {
      await bench.close();
    }
  } finally {
    await database.close();
  }
}

async function measure(bench: Bench, given: BenchArguments): Promise<void> {
  const { n, rounds, json } = given;
  const variants = selected(bench, given.only);
  const name = given.bench === 'delivery' ? `${given.bench}, ${given.scenario}` : given.bench;
  const count = n.toLocaleString('en');
  console.log(`${name}: ${count} a round, ${rounds} rounds, ${given.database}, Node ${process.versions.node}`);
  for (const reason of bench.leftOut ?? []) console.log(`  not measured: ${reason}`);
  const summaries = await runRounds(variants, rounds, (round, variant, { figure }) => {
    console.log(`  round ${round}  ${variant}  ${figure.toFixed(figure < 100 ? 2 : 0)} ${bench.unit}`);
  });
  console.log(`\n${resultTable(bench, summaries)}`);
  if (json) console.log(resultJson(given, bench, summaries));
}

function selected({ variants }: Bench, only: readonly string[] | undefined): readonly Variant[] {
  const unknown = only?.find((name) => variants.every((variant) => variant.name !== name));
  if (unknown !== undefined)
    throw new Error(`No variant ${unknown} here: ${variants.map(({ name }) => name).join(', ')}.`);
  return variants.filter(({ name }) => only?.includes(name) ?? true);
}

let given: BenchArguments | undefined;
try {
  given = parseArguments(process.argv.slice(2));
  if (given === undefined) console.log(usage);
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  process.exitCode = 2;
}
if (given !== undefined) await run(given);
