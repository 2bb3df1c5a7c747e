import { type Command, Option } from 'commander';
import { alertStatuses, alertTypes, riskLevels, severities } from '../compliance/alert.ts';
import type { AlertFilterInput } from '../compliance/alertFilter.ts';
import { integer, json, timeOrAgo } from './optionValues.ts';

/** Options that are named as the fields of the filter they become, and one more. */
export type AlertFilterOptions = Omit<AlertFilterInput, 'sort' | 'limit' | 'cursor'> & { readonly unassigned?: true };

const words = [
  ['status', alertStatuses],
  ['severity', severities],
  ['alert-type', alertTypes],
  ['risk-level', riskLevels],
] as const;

const texts = [
  ['customer-id <id>', 'about this customer'],
  ['transaction-id <id>', 'about this transaction'],
  ['entity-type <type>', 'about this kind of thing'],
  ['entity-id <id>', 'about this thing'],
  ['wallet-address <address>', 'about this wallet'],
  ['correlation-id <id>', 'of this matter'],
  ['group-id <id>', 'of this group of related alerts'],
  ['assigned-to <who>', 'of this person'],
  ['reviewed-by <who>', 'that this person took into review'],
  ['resolved-by <who>', 'that this person decided'],
  ['escalated-to <who>', 'escalated to this person'],
  ['queue <name>', 'of this queue'],
  ['source <name>', 'from this part or program'],
  ['external-reference <id>', 'of this id in a system outside'],
  ['dedupe-key <key>', 'of this key'],
] as const;

const flags = [
  ['auto-generated', 'only those that a rule raised'],
  ['overdue', 'only those whose due time has passed'],
  ['breached', 'only those that were overdue at some time'],
  ['suppressed', 'only those that a suppression dismissed'],
  ['merged', 'those that are worked on with another one instead'],
  ['archived', 'the archived ones instead'],
] as const;

const times = [
  ['triggered', 'triggered'],
  ['created', 'raised'],
  ['due', 'due'],
  ['resolved', 'decided'],
] as const;

/** Gives a command of alerts the options that narrow it down. */
export function withAlertFilter(command: Command): Command {
  for (const [name, choices] of words) {
    command.addOption(new Option(`--${name} <${name}...>`, 'only of these').choices(choices));
  }
  for (const [option, which] of texts) command.option(`--${option}`, `only ${which}`);
  command.addOption(new Option('--unassigned', 'only of nobody').conflicts('assignedTo'));
  for (const [name, which] of flags) command.option(`--${name}`, which);
  command.option('--min-risk-score <number>', 'only with this score or more', integer);
  command.option('--max-risk-score <number>', 'only with this score or less', integer);
  for (const [name, done] of times) {
    command.option(`--${name}-from <time>`, `only ${done} at this time or later, or as long ago as 24h, 7d`, timeOrAgo);
    command.option(`--${name}-to <time>`, `only ${done} before this time`, timeOrAgo);
  }
  command.option('--details <json>', 'only with this in the details', json);
  return command.option('--metadata <json>', 'only with this in the metadata', json);
}

export function alertFilterOf({ unassigned, ...filter }: AlertFilterOptions): AlertFilterInput {
  return unassigned ? { ...filter, assignedTo: null } : filter;
}
