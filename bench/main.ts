import { type BenchArguments, defaultN, parseArguments, usage } from './arguments.ts';
import { findBench } from './benches.ts';
import { type BenchServer, openBenchServer } from './benchServer.ts';
import { resultJson, resultTable } from './report.ts';
import { type Bench, runRounds, type Summary, unitOf, type Variant } from './rounds.ts';
import { type StartedVariant, startVariant } from './variant.ts';

async function run(given: BenchArguments): Promise<void> {
  const interrupted = whenInterrupted();
  const bench = await findBench(given);
  const variants = selected(bench, given.only);
  const { n, rounds, json } = given;
  const name = given.bench === 'delivery' ? `${given.bench}, ${given.scenario}` : given.bench;
  const count = n.toLocaleString('en');
  console.log(`${name}: ${count} a round, ${rounds} rounds, ${given.database}, Node ${process.versions.node}`);
  for (const reason of bench.leftOut ?? []) console.log(`  not measured: ${reason}`);

  const server = await openBenchServer(given.database, process.env['DATABASE_URL']);
  const started: StartedVariant[] = [];
  try {
    const sharedUrl = bench.shared && (await server.createDatabase());
    if (sharedUrl !== undefined) await Promise.race([bench.shared?.prepare(sharedUrl), interrupted]);
    for (const variant of variants)
      started.push(startVariant(given, variant.name, sharedUrl ?? (await server.createDatabase())));
    const taking = started.map((variant) => takingTurns(variant, server));
    const summaries = await Promise.race([measure(taking, given, bench), interrupted]);
    console.log(`\n${resultTable(bench, summaries)}`);
    if (sharedUrl !== undefined) console.log(await bench.shared?.explain(sharedUrl));
    for (const missed of missedBounds(given, bench, summaries)) {
      console.error(missed);
      process.exitCode = 1;
    }
    if (json) console.log(resultJson(given, bench, summaries));
  } finally {
    await Promise.all(started.map((variant) => variant.close()));
    await server.close();
  }
}

async function measure(variants: readonly StartedVariant[], given: BenchArguments, bench: Bench): Promise<Summary[]> {
  await Promise.all(variants.map((variant) => variant.open()));
  return runRounds(variants, given, (round, variant, { figure }) => {
    console.log(`  round ${round}  ${variant}  ${figure.toFixed(figure < 100 ? 2 : 0)} ${unitOf(bench, variant)}`);
  });
}

function takingTurns(variant: StartedVariant, { checkpoint }: BenchServer): StartedVariant {
  return {
    ...variant,
    measure: async (n) => {
      const measurement = await variant.measure(n);
      await checkpoint();
      return measurement;
    },
  };
}

/** Beside fewer than by default, nothing is promised. */
function missedBounds(given: BenchArguments, bench: Bench, summaries: readonly Summary[]): string[] {
  if (given.n < defaultN[given.bench]) return [];
  const { bound = {}, least = {}, leastShare = {} } = bench;
  return summaries.flatMap(({ name, median }) => {
    const most = bound[name] ?? Number.POSITIVE_INFINITY;
    const fewest = least[name] ?? 0;
    if (median > most) return `${name} took ${median.toFixed(1)} ${unitOf(bench, name)}, more than ${most}.`;
    if (median < fewest) return `${name} came to ${median.toFixed(0)} ${unitOf(bench, name)}, less than ${fewest}.`;
    const { of, share = 0 } = leastShare[name] ?? {};
    const reached = median / (summaries.find((other) => other.name === of)?.median ?? Number.NaN);
    return reached < share ? `${name} came to ${reached.toFixed(2)} of ${of}, less than ${share}.` : [];
  });
}

function selected({ variants }: Bench, only: readonly string[] | undefined): readonly Variant[] {
  const unknown = only?.find((name) => variants.every((variant) => variant.name !== name));
  if (unknown !== undefined)
    throw new Error(`No variant ${unknown} here: ${variants.map(({ name }) => name).join(', ')}.`);
  return variants.filter(({ name }) => only?.includes(name) ?? true);
}

/** Rejects when the run has to end before its time. A second signal ends it where it stands. */
function whenInterrupted(): Promise<never> {
  const { promise, reject } = Promise.withResolvers<never>();
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => reject(new Error(`Ended by ${signal}.`)));
  promise.catch(() => {}); // what is being set up at the time is finished first
  return promise;
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
