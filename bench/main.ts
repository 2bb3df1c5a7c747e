import { type BenchArguments, type BenchName, parseArguments, usage } from './arguments.ts';
import { type BenchDatabase, openBenchDatabase } from './database.ts';
import { deliveryBench } from './delivery/bench.ts';
import { ingestBench } from './ingest/bench.ts';
import { latencyBench } from './latency/bench.ts';
import { resultJson, resultTable } from './report.ts';
import { type Bench, runRounds } from './rounds.ts';

const benches: Readonly<Record<BenchName, (database: BenchDatabase, n: number) => Promise<Bench>>> = {
  delivery: deliveryBench,
  ingest: ingestBench,
  latency: latencyBench,
};

async function run(given: BenchArguments): Promise<void> {
  const { bench: name, n, rounds, json } = given;
  const database = await openBenchDatabase(given.database, process.env['DATABASE_URL']);
  try {
    const bench = await benches[name](database, n);
    try {
      const count = n.toLocaleString('en');
      console.log(`${name}: ${count} a round, ${rounds} rounds, ${given.database}, Node ${process.versions.node}`);
      const summaries = await runRounds(bench.variants, rounds, (round, variant, { figure }) => {
        console.log(`  round ${round}  ${variant}  ${figure.toFixed(figure < 100 ? 2 : 0)} ${bench.unit}`);
      });
      console.log(`\n${resultTable(bench, summaries)}`);
      if (json) console.log(resultJson(given, bench, summaries));
    } finally {
      await bench.close();
    }
  } finally {
    await database.close();
  }
}

let given: BenchArguments | undefined;
try {
  given = parseArguments(process.argv.slice(2));
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${usage}`);
  process.exitCode = 2;
}
if (given !== undefined) await run(given);
