import { openBenchDatabase } from '/work/main/bench/database.ts';
import { deliveryBench } from '/work/main/bench/delivery/bench.ts';
import { Session } from 'node:inspector/promises';
import { writeFileSync } from 'node:fs';
const s = new Session(); s.connect();
const which = process.argv[2] ?? 'moonguard'; const kind = (process.argv[3] ?? 'postgres') as any;
const database = await openBenchDatabase(kind, undefined);
const bench = await deliveryBench(database, { n: 20000, scenario: 'fast' } as any);
const v = bench.variants.find((v) => v.name === which)!;
await (v as any).open?.();
await v.measure();
await s.post('Profiler.enable'); await s.post('Profiler.setSamplingInterval', { interval: 200 });
let start: any;
for (let i = 0; i < 3; i++) { await s.post('Profiler.start'); const m = await v.measure(); const { profile } = await s.post('Profiler.stop'); writeFileSync(`/tmp/prof/${i}.cpuprofile`, JSON.stringify(profile)); console.log(m.figure, JSON.stringify(m.processorTime)); }
await bench.close(); await database.close();
