import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import type { Alert } from '../../compliance/alert.ts';
import type { AlertFilterInput } from '../../compliance/alertFilter.ts';
import type { ComplianceService } from '../../compliance/ComplianceService.ts';
import { MoonguardError } from '../../errors.ts';
import { type AlertFilterOptions, alertFilterOf, withAlertFilter } from '../alertFilterOptions.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { print, timeText } from '../output.ts';
import { configOf, withMoonguard } from '../session.ts';
import { untilSignal } from '../shutdown.ts';
import { oneLine } from '../table.ts';

/** Not LISTEN, which needs no right: a notification would tell anybody with a login that there is an alert. */
const LOOK_EVERY_MS = 1_000;
/** A transaction may commit after another one that began later. */
const LOOK_BACK_MS = 60_000;

export function watchCommand(): Command {
  const command = withAlertFilter(readCommand('watch', 'print alerts as they are raised, until Ctrl-C')).action(
    ({ json, dataDirectory, ...given }: DataOptions & AlertFilterOptions) => {
      if (configOf({ dataDirectory }).databaseUrl === undefined) {
        const message =
          'While this command had the embedded database nobody else could raise an alert: watching needs PostgreSQL.';
        throw new MoonguardError('database_serves_one_process', message);
      }
      return withMoonguard({ dataDirectory }, ({ compliance }) => watch(compliance, alertFilterOf(given), json));
    },
  );
  return withExample(command, 'alerts watch --severity high critical');
}

async function watch(compliance: ComplianceService, filter: AlertFilterInput, json: true | undefined): Promise<void> {
  const stopped = new AbortController();
  void untilSignal().then(() => stopped.abort());
  const { items: newest } = await compliance.listAlerts({ ...filter, sort: 'raised', limit: 1 });
  let { seen } = await look(compliance, filter, { since: lookBackFrom(newest), ids: new Set() });
  if (!json) print('Watching for new alerts. Ctrl-C ends it.');
  while (!stopped.signal.aborted) {
    const found = await look(compliance, filter, seen);
    for (const alert of found.alerts) print(json ? JSON.stringify(alert) : lineOf(alert));
    seen = found.seen;
    await wait(LOOK_EVERY_MS, undefined, { signal: stopped.signal }).catch(() => {});
  }
}

interface Seen {
  /** What was raised before is not looked at again. */
  readonly since: Date | undefined;
  /** Those raised after that. */
  readonly ids: ReadonlySet<string>;
}

/** Alerts that were not seen before, oldest first. */
async function look(
  compliance: ComplianceService,
  filter: AlertFilterInput,
  { since, ids }: Seen,
): Promise<{ readonly alerts: readonly Alert[]; readonly seen: Seen }> {
  const recent = await allAlerts(compliance, { ...filter, createdFrom: laterOf(since, filter.createdFrom) });
  return {
    alerts: recent.filter(({ id }) => !ids.has(id)).toReversed(),
    seen: { since: lookBackFrom(recent) ?? since, ids: new Set(recent.map(({ id }) => id)) },
  };
}

/** @param alerts the one raised last comes first */
function lookBackFrom([newest]: readonly Alert[]): Date | undefined {
  return newest === undefined ? undefined : new Date(newest.createdAt.getTime() - LOOK_BACK_MS);
}

function laterOf(since: Date | undefined, asked: Date | undefined): Date | undefined {
  return since === undefined || (asked !== undefined && asked > since) ? asked : since;
}

async function allAlerts(compliance: ComplianceService, filter: AlertFilterInput): Promise<Alert[]> {
  const alerts: Alert[] = [];
  let cursor: string | undefined;
  do {
    const page = await compliance.listAlerts({ ...filter, sort: 'raised', limit: 200, cursor });
    alerts.push(...page.items);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return alerts;
}

function lineOf({ triggeredAt, severity, alertId, alertType, title }: Alert): string {
  return `${timeText(triggeredAt)}  ${severity.padEnd(8)}  ${alertId}  ${alertType}  ${oneLine(title)}`;
}
