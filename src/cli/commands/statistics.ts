import { type Command, Option } from 'commander';
import {
  type DeliveryStatistics,
  type StatisticsWindow,
  type TrendPoint,
  trendBuckets,
} from '../../webhooks/statistics.ts';
import { bar } from '../bar.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { timeOrAgo } from '../optionValues.ts';
import { print, printFields, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';

interface StatisticsOptions extends Omit<StatisticsWindow, 'webhookId'> {
  readonly endpoint?: string;
}

export function statisticsCommand(): Command {
  const command = readCommand('stats', 'show how delivering goes')
    .option('--endpoint <endpoint>', 'deliveries to this endpoint only')
    .option('--since <time>', 'from this time on: 2026-11-01T00:00:00Z, or as long ago as 90s, 30m, 24h, 7d', timeOrAgo)
    .option('--until <time>', 'before this time', timeOrAgo)
    .addOption(new Option('--bucket <length>', 'the trend too, in parts of this length').choices(trendBuckets))
    .action(({ json, dataDirectory, endpoint, ...times }: DataOptions & StatisticsOptions) => {
      const window = { webhookId: endpoint, ...times };
      return answer(
        { json, dataDirectory },
        async ({ webhooks }) => ({
          now: await webhooks.getStats(),
          statistics: await webhooks.getStatistics(window),
        }),
        ({ now, statistics }) => {
          // The SQL function counts all endpoints.
          if (endpoint === undefined) printGroup('Now (get_moonpay_webhook_stats)', now);
          printStatistics(statistics);
        },
      );
    });
  return withExample(command, 'webhooks stats', 'webhooks stats --since 24h --bucket hour');
}

function printStatistics({ deliveries, durationMs, byErrorClass, trend, ...counts }: DeliveryStatistics): void {
  printGroup('Deliveries made, by what they are now', deliveries);
  printGroup('Attempts', { ...counts, ...inMilliseconds(durationMs) });
  if (Object.keys(byErrorClass).length > 0) printGroup('Failed attempts', byErrorClass);
  if (trend.length > 0) printTrend(trend);
}

function printGroup(title: string, fields: object): void {
  print(title, '');
  printFields(fields);
  print('');
}

function printTrend(trend: readonly TrendPoint[]): void {
  const most = Math.max(1, ...trend.map(({ attempts }) => attempts));
  printTable(
    trend,
    [
      { title: 'FROM', value: ({ at }) => timeText(at) },
      { title: 'ATTEMPTS', value: ({ attempts }) => attempts, align: 'right' },
      { title: 'FAILED', value: ({ failed }) => failed, align: 'right' },
      { title: 'P95 MS', value: ({ p95 }) => p95, align: 'right' },
      { title: '█ DELIVERED ░ FAILED', value: ({ delivered, failed }) => bar(delivered, failed, most) },
    ],
    '',
  );
}

function inMilliseconds(durations: Readonly<Record<string, number | null>>): Record<string, string> {
  const known = Object.entries(durations).filter(([, value]) => value !== null);
  return Object.fromEntries(known.map(([name, value]) => [name, `${value} ms`]));
}
