import { createWriteStream } from 'node:fs';
import { rename } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { Command, Option } from 'commander';
import { type ExportFormat, exportFormats } from '../../policy/exportLog.ts';
import {
  actionTypes,
  complianceImpacts,
  executionStatuses,
  logSeverities,
  type PolicyLogEntry,
  policyTypes,
} from '../../policy/policyLog.ts';
import type { PolicyLogExportInput, PolicyLogFilterInput } from '../../policy/policyLogFilter.ts';
import type { PolicyExecutionInput } from '../../policy/policyLogInput.ts';
import {
  type ChangeOptions,
  changeCommand,
  type DataOptions,
  dataDirectoryOption,
  listCommand,
  readCommand,
  withExample,
} from '../command.ts';
import { json, time } from '../optionValues.ts';
import { count, print, printFields, printPage, timeText } from '../output.ts';
import { answer } from '../session.ts';
import type { Column } from '../table.ts';
import { changeLines } from './policyVersions.ts';

export function logsCommand(): Command {
  const logs = new Command('logs').description('the policy log: what policies decided, append-only');
  for (const make of [listAll, show, exportAll, add]) logs.addCommand(make());
  return logs;
}

export const policyLogColumns: readonly Column<PolicyLogEntry>[] = [
  { title: 'EXECUTED', value: ({ executedAt }) => timeText(executedAt) },
  { title: 'LOG', value: ({ logId }) => logId },
  { title: 'POLICY', value: ({ policyName, policyId }) => policyName ?? policyId, mayCut: true },
  { title: 'ACTION', value: ({ actionType }) => actionType },
  { title: 'RESULT', value: ({ executionStatus }) => executionStatus },
  { title: 'SEVERITY', value: ({ severity }) => severity },
  { title: 'ABOUT', value: aboutText },
];

function listAll(): Command {
  const command = withFilter(listCommand('list', 'list rows of the policy log, the newest first'))
    .option('--to <time>', 'executed before this time', time)
    .action(({ json: asJson, dataDirectory, text, ...filter }: DataOptions & PolicyLogFilterInput & Searched) =>
      answer(
        { json: asJson, dataDirectory },
        ({ policies }) => (text === undefined ? policies.listLogs(filter) : policies.searchLogs(text, filter)),
        (page) => printPage(page, policyLogColumns, 'No rows.'),
      ),
    );
  return withExample(
    command,
    'logs list --action-type violation_detected --from 2026-11-01T00:00:00Z',
    'logs list --text "stolen card" --customer-id customer_123',
  );
}

interface Searched {
  readonly text?: string;
}

interface ExportOptions extends Omit<PolicyLogExportInput, 'to'> {
  readonly dataDirectory?: string;
  readonly format: ExportFormat;
  readonly to: string;
  readonly until?: Date;
}

function exportAll(): Command {
  const command = withFilter(
    new Command('export').description('write rows of the policy log to a file, the newest first, with every digit'),
  )
    .option('--until <time>', 'executed before this time', time)
    .addOption(new Option('--format <format>', 'kind of file').choices(exportFormats).default('ndjson'))
    .requiredOption('--to <file>', 'where to; it is there once it is whole')
    .addOption(dataDirectoryOption())
    .action(({ dataDirectory, format, to: file, until: to, ...filter }: ExportOptions) =>
      answer(
        { dataDirectory },
        ({ policies }) => writeLines(policies.exportLogs({ ...filter, to }, format), file),
        (lines) => print(`${file}: ${count(format === 'csv' ? lines - 1 : lines, 'row', 'rows')}.`),
      ),
    );
  return withExample(command, 'logs export --format csv --to november.csv --from 2026-11-01T00:00:00Z');
}

const LINES_BETWEEN_REPORTS = 50_000;

/** @returns how many there were */
async function writeLines(lines: AsyncIterable<string>, file: string): Promise<number> {
  let written = 0;
  const unfinished = `${file}.unfinished`;
  const counted = async function* (): AsyncGenerator<string> {
    for await (const line of lines) {
      written += 1;
      if (written % LINES_BETWEEN_REPORTS === 0) print(`  ${written} lines`);
      yield line;
    }
  };
  await pipeline(counted, createWriteStream(unfinished, { mode: 0o600 }));
  await rename(unfinished, file);
  return written;
}

/** Options that are named as the fields of the filter. */
function withFilter(command: Command): Command {
  return command
    .option('--text <words>', 'only with words that begin like these in reason or notes')
    .option('--from <time>', 'executed at this time or later', time)
    .option('--policy-id <id>', 'only of this policy')
    .addOption(new Option('--policy-type <type...>', 'only of these').choices(policyTypes))
    .addOption(new Option('--action-type <type...>', 'only of these').choices(actionTypes))
    .addOption(new Option('--execution-status <status...>', 'only of these').choices(executionStatuses))
    .addOption(new Option('--severity <severity...>', 'only of these').choices(logSeverities))
    .addOption(new Option('--compliance-impact <impact...>', 'only of these').choices(complianceImpacts))
    .option('--entity-type <type>', 'only about entities of this type')
    .option('--entity-id <id>', 'only about this entity')
    .option('--customer-id <id>', 'only about this customer')
    .option('--transaction-id <id>', 'only about this transaction')
    .option('--correlation-id <id>', 'only what happened because of this event')
    .option('--executed-by <who>', 'only what this person or program did')
    .option('--retention-class <class>', 'only of this class')
    .option('--source <source>', 'only from this source')
    .option('--requires-action', 'only what somebody has to act on')
    .option('--follow-up-required', 'only with an open follow-up')
    .option('--follow-up-to <time>', 'only with a follow-up due before this time', time)
    .option('--rule-conditions <json>', 'only where the conditions hold this object', json)
    .option('--metadata <json>', 'only where the metadata hold this object', json);
}

function show(): Command {
  const command = readCommand('show', 'show one row of the policy log, and what changed where it logs a change')
    .argument('<log>', 'log_id')
    .action((logId: string, options: DataOptions) =>
      answer(
        options,
        async ({ policies }) => ({
          ...(await policies.getLog(logId)),
          changes: await policies.logChanges(logId),
        }),
        ({ changes, ...entry }) => {
          printFields(changes.length === 0 ? entry : { ...entry, beforeState: null, afterState: null });
          if (changes.length > 0) print('', 'Changes:', ...changes.flatMap(changeLines));
        },
      ),
    );
  return withExample(command, 'logs show log_0199f2c4a1b27d3e8c5f6a7b8c9d0e1f');
}

function add(): Command {
  const command = changeCommand('add', 'add a row to the policy log; it can never be changed')
    .requiredOption('--policy-id <id>', 'the policy')
    .addOption(new Option('--action-type <type>', 'what it did').choices(actionTypes).makeOptionMandatory())
    .addOption(new Option('--policy-type <type>', 'default: what is known of the policy').choices(policyTypes))
    .addOption(new Option('--execution-status <status>', 'how it went').choices(executionStatuses).default('success'))
    .addOption(new Option('--severity <severity>', 'how much it matters').choices(logSeverities).default('info'))
    .addOption(new Option('--compliance-impact <impact>', 'on compliance').choices(complianceImpacts).default('none'))
    .option('--entity-type <type>', 'what it is about')
    .option('--entity-id <id>', 'which one')
    .option('--customer-id <id>', 'the customer')
    .option('--transaction-id <id>', 'the transaction')
    .option('--correlation-id <id>', 'same for all that happened because of one event')
    .option('--violation-details <json>', 'what broke the policy', json)
    .option('--reason <text>', 'why')
    .option('--notes <text>', 'for people')
    .option('--metadata <json>', 'an object of yours', json)
    .action(({ json: asJson, dataDirectory, as: actor, ...input }: ChangeOptions & PolicyExecutionInput) =>
      answer(
        { json: asJson, dataDirectory },
        ({ policies }) => policies.logPolicyExecution({ ...input, autoGenerated: false }, { actor }),
        printFields,
      ),
    );
  return withExample(
    command,
    'logs add --policy-id kyc_policy_001 --action-type exception_granted --entity-type customer --entity-id customer_123 --reason "Known to us since 2019"',
  );
}

function aboutText({ entityType, entityId, customerId, transactionId }: PolicyLogEntry): string | undefined {
  if (entityId !== null) return `${entityType ?? 'entity'} ${entityId}`;
  if (transactionId !== null) return `transaction ${transactionId}`;
  return customerId === null ? undefined : `customer ${customerId}`;
}
