import { type Command, Option } from 'commander';
import { alertStatuses, severities } from '../../compliance/alert.ts';
import type {
  AlertCounts,
  AlertMetrics,
  AlertMetricsReport,
  AlertTrendDay,
  MetricsPart,
  MetricsWindow,
  Spread,
} from '../../compliance/alertStatistics.ts';
import { bar } from '../bar.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { timeOrAgo } from '../optionValues.ts';
import { print, printFields, printTable } from '../output.ts';
import { answer } from '../session.ts';

const metricsParts: readonly MetricsPart[] = ['type', 'severity', 'person'];

interface StatisticsOptions extends DataOptions, MetricsWindow {
  readonly trend?: true;
}

export function statisticsCommand(): Command {
  const command = readCommand('stats', 'show how many alerts there are, and how they are worked on')
    .option('--since <time>', 'triggered at this time or later, or as long ago as 24h, 7d (default: 30d)', timeOrAgo)
    .option('--until <time>', 'triggered before this time', timeOrAgo)
    .addOption(new Option('--by <part>', 'the figures of each type, severity or person too').choices(metricsParts))
    .option('--trend', 'the alerts of each day too')
    .action(({ json, dataDirectory, trend, by, ...window }: StatisticsOptions) =>
      answer(
        { json, dataDirectory },
        async ({ compliance }) => ({
          now: await compliance.getCounts(),
          metrics: await compliance.getMetrics({ ...window, by }),
          trend: trend ? await compliance.getTrend(window) : [],
        }),
        ({ now, metrics, trend: days }) => {
          printCounts(now);
          printMetrics(metrics, by);
          if (days.length > 0) printTrend(days);
        },
      ),
    );
  return withExample(command, 'alerts stats', 'alerts stats --since 90d --by person --trend');
}

function printCounts({ byStatus, undecided, archived }: AlertCounts): void {
  print('Now', '');
  printTable(
    alertStatuses.map((status) => ({ status, ...byStatus[status] })),
    [
      { title: 'STATUS', value: ({ status }) => status },
      ...severities.map((severity) => ({
        title: severity.toUpperCase(),
        value: (row: (typeof byStatus)[keyof typeof byStatus]) => row[severity],
        align: 'right' as const,
      })),
    ],
    '',
  );
  const { alerts, unassigned, breached } = undecided;
  print(
    '',
    `${alerts} undecided: ${unassigned} unassigned, ${breached} overdue at some time. ${archived} archived.`,
    '',
  );
}

function printMetrics({ parts, ...all }: AlertMetricsReport, by: MetricsPart | undefined): void {
  print('Triggered in the window', '');
  printFields({
    alerts: all.alerts,
    suppressed: all.suppressed,
    merged: all.merged,
    decided: all.decided,
    firstReview: spread(all.firstReviewMinutes),
    decision: spread(all.resolveMinutes),
    breachRate: percent(all.breachRate),
    falsePositiveRate: percent(all.falsePositiveRate),
  });
  print('');
  if (by === undefined) return;
  printTable<AlertMetrics & { readonly name: string | null }>(
    parts,
    [
      { title: by.toUpperCase(), value: ({ name }) => name },
      { title: 'ALERTS', value: ({ alerts }) => alerts, align: 'right' },
      { title: 'DECIDED', value: ({ decided }) => decided, align: 'right' },
      { title: 'FIRST REVIEW', value: ({ firstReviewMinutes }) => minutes(firstReviewMinutes.median), align: 'right' },
      { title: 'DECISION', value: ({ resolveMinutes }) => minutes(resolveMinutes.median), align: 'right' },
      { title: 'BREACHED', value: ({ breachRate }) => percent(breachRate), align: 'right' },
      { title: 'FALSE', value: ({ falsePositiveRate }) => percent(falsePositiveRate), align: 'right' },
    ],
    'No alerts.',
  );
  print('');
}

function printTrend(days: readonly AlertTrendDay[]): void {
  const most = Math.max(1, ...days.map(({ alerts }) => alerts));
  printTable(
    days,
    [
      { title: 'DAY', value: ({ day }) => day },
      { title: 'ALERTS', value: ({ alerts }) => alerts, align: 'right' },
      { title: 'UNDECIDED', value: ({ undecided }) => undecided, align: 'right' },
      {
        title: '█ DECIDED ░ UNDECIDED',
        value: ({ alerts, undecided }) => bar(alerts - undecided, undecided, most),
      },
    ],
    '',
  );
}

function spread({ median, p95 }: Spread): string | undefined {
  return median === null ? undefined : `${minutes(median)} in the median, ${minutes(p95)} at p95`;
}

/** `12 min`, `3.4 h`, `2.5 d` */
function minutes(number: number | null): string | undefined {
  if (number === null) return undefined;
  if (number < 100) return `${Math.round(number)} min`;
  return number < 48 * 60 ? `${(number / 60).toFixed(1)} h` : `${(number / 60 / 24).toFixed(1)} d`;
}

function percent(number: number | null): string | undefined {
  return number === null ? undefined : `${number} %`;
}
