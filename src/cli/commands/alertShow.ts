import type { Command } from 'commander';
import { z } from 'zod';
import type { AlertHit } from '../../compliance/hits.ts';
import { type ScreeningResults, screeningResultsSchema } from '../../compliance/screening.ts';
import type { TimelineEntry } from '../../compliance/timeline.ts';
import { ALERT, SOME_ALERT } from '../alertArgument.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { print, printFields, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';
import { printable } from '../table.ts';

export function showCommand(): Command {
  const command = readCommand('show', 'show one alert, what it stands for, and its history')
    .argument(...ALERT)
    .action((alertId: string, options: DataOptions) =>
      answer(
        options,
        async ({ compliance }) => ({
          ...(await compliance.getAlert(alertId)),
          hits: await compliance.listHits(alertId),
          timeline: await compliance.getTimeline(alertId),
        }),
        ({ hits, timeline, screeningResults, recommendedActions, ...alert }) => {
          // A program from before Moonguard may have kept something else there.
          const screenings = screeningResultsSchema.safeParse(screeningResults);
          printFields(screenings.success ? alert : { ...alert, screeningResults });
          if (recommendedActions.length > 0)
            print('', 'To do:', ...recommendedActions.map((each) => `- ${printable(each)}`));
          if (screenings.success) printScreenings(screenings.data);
          if (hits.length > 1) printHits(hits);
          printTimeline(timeline);
        },
      ),
    );
  return withExample(command, `alerts show ${SOME_ALERT}`);
}

function printScreenings(screenings: ScreeningResults): void {
  for (const { provider, list, listDate, query, candidates } of screenings) {
    print('', `${query.name} on ${list} of ${listDate}, searched by ${provider}:`);
    printTable(
      candidates,
      [
        { title: 'CANDIDATE', value: ({ name }) => name },
        { title: 'SCORE', value: ({ score }) => score, align: 'right' },
        { title: 'ENTRY', value: ({ entryId }) => entryId },
        { title: 'WHY', value: ({ reasons }) => reasons.join('; '), mayCut: true },
      ],
      'Nobody.',
    );
  }
}

function printHits(hits: readonly AlertHit[]): void {
  print('');
  printTable(
    hits,
    [
      { title: 'HIT AT', value: ({ at }) => timeText(at) },
      { title: 'SEVERITY', value: ({ severity }) => severity },
      { title: 'SCORE', value: ({ riskScore }) => riskScore, align: 'right' },
      { title: 'BY', value: ({ raisedBy }) => raisedBy },
      { title: 'TITLE', value: ({ title }) => title, mayCut: true },
    ],
    '',
  );
}

function printTimeline(timeline: readonly TimelineEntry[]): void {
  print('');
  printTable(
    timeline,
    [
      { title: 'AT', value: ({ at }) => timeText(at) },
      { title: 'WHO', value: ({ actor }) => actor },
      { title: 'WHAT', value: ({ action }) => action },
      { title: 'STATUS', value: ({ toStatus }) => toStatus },
      { title: 'WHY, OR WHAT OF IT', value: detailsOf, mayCut: true },
    ],
    'No history.',
  );
}

function detailsOf(entry: TimelineEntry): string | null {
  const { action, reason, mentions, attachment } = entry;
  switch (action) {
    case 'commented':
      return mentions.length === 0 ? reason : `${reason} (to ${mentions.join(', ')})`;
    case 'attached':
      return attachment?.uri ?? null;
    case 'created':
      return reason;
    case 'moved':
    case 'changed':
    case 'hit':
    case 'warned':
    case 'breached':
      return reason ?? changesText(entry);
  }
}

/** What is long, stands beside it, or follows from the rest, as times do. */
const untold = new Set(['status', 'deadline_step', 'details', 'metadata', 'screening_results']);
const isTold = (column: string): boolean => column === 'due_at' || !(untold.has(column) || column.endsWith('_at'));
const columns = z.record(z.string(), z.unknown());

/** `assigned_to: none → maria, severity: low → high` */
function changesText(entry: Pick<TimelineEntry, 'before' | 'after'>): string {
  const before = columns.parse(entry.before);
  return Object.entries(columns.parse(entry.after))
    .filter(([column]) => isTold(column))
    .map(([column, value]) => `${column}: ${wordOf(before[column])} → ${wordOf(value)}`)
    .join(', ');
}

function wordOf(value: unknown): string {
  if (value === null || value === undefined) return 'none';
  return typeof value === 'string' ? value : JSON.stringify(value);
}
