import { existsSync } from 'node:fs';
import { Argument, Command, Option } from 'commander';
import type { ArchiveProgress } from '../../archive/ArchiveService.ts';
import type { Archive } from '../../archive/archive.ts';
import type { ArchiveSearch, FoundRow } from '../../archive/searchArchives.ts';
import type { ArchiveFinding, ArchiveVerification } from '../../archive/verifyArchive.ts';
import { MoonguardError } from '../../errors.ts';
import { actionTypes } from '../../policy/policyLog.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { list, count as positive, time } from '../optionValues.ts';
import { count, print, printFields, printJson, printTable, timeText } from '../output.ts';
import { answer, configOf, withMoonguard } from '../session.ts';
import type { Column } from '../table.ts';
import { textOfFinding } from './audit.ts';
import { policyLogColumns } from './logs.ts';
import { interruption } from './retention.ts';

const SOME_ARCHIVE = '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f';
const SOME_KEY = 'example.com/log+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';

export function archiveCommand(): Command {
  const archive = new Command('archive').description(
    'the policy log in files outside of the database (MOONGUARD_ARCHIVE)',
  );
  archive.addCommand(run(), { isDefault: true });
  for (const make of [listAll, verify, search, require, eraseKey]) archive.addCommand(make());
  return archive;
}

const archiveColumns: readonly Column<Archive>[] = [
  { title: 'MONTH', value: ({ month }) => month },
  { title: 'CLASS', value: ({ retentionClass }) => retentionClass, mayCut: true },
  { title: 'PART', value: ({ part }) => part, align: 'right' },
  { title: 'STATE', value: ({ state, keyErasedAt }) => (keyErasedAt === null ? state : 'key erased') },
  { title: 'ROWS', value: ({ rowCount }) => rowCount, align: 'right' },
  { title: 'BYTES', value: ({ bytes }) => bytes, align: 'right' },
  { title: 'ENCRYPTED', value: ({ isEncrypted }) => (isEncrypted ? 'yes' : 'no') },
  { title: 'KEPT UNTIL', value: ({ retainUntil }) => timeText(retainUntil) },
  { title: 'ID', value: ({ id }) => id },
];

function run(): Command {
  const command = readCommand(
    'run',
    'archive the months that are over; each file is read back and compared with the rows',
  ).action((options: DataOptions) =>
    answer(
      options,
      ({ archives }) => archives.run({ ...(!options.json && { onProgress: tellProgress }), signal: interruption() }),
      ({ status, archives }) => {
        printTable(archives, archiveColumns, 'Nothing new to archive.');
        if (status === 'interrupted') print('It was interrupted, or another run is at it: the next one goes on.');
      },
    ),
  );
  return withExample(command, 'archive');
}

/** For somebody at a terminal: one line, again and again. */
function tellProgress({ archive, step, rows }: ArchiveProgress): void {
  if (process.stderr.isTTY) process.stderr.write(`\r\u001B[2K${archive}: ${step}${rows === 0 ? '' : ` ${rows}`} …`);
}

function listAll(): Command {
  const command = readCommand('list', 'list the archives that the database knows').action((options: DataOptions) =>
    answer(
      options,
      ({ archives }) => archives.list(),
      (archives) => printTable(archives, archiveColumns, 'No archives.'),
    ),
  );
  return withExample(command, 'archive list');
}

interface VerifyOptions extends DataOptions {
  readonly key?: readonly string[];
}

function verify(): Command {
  const command = readCommand('verify', 'check files against their manifests, and rows against the signed tree')
    .argument(
      '[target]',
      'a directory or s3://bucket/prefix, without any database; default: MOONGUARD_ARCHIVE, with the keys of encrypted ones',
    )
    .option(
      '--key <key>',
      'what the log is verified with; several after a key changed (default, without a target only: what the database names)',
      list,
    )
    .action(async (target: string | undefined, { key: verifierKeys, ...options }: VerifyOptions, self: Command) => {
      if (target === undefined) {
        await withMoonguard(options, ({ archives }) => tellVerifications(archives.verify({ verifierKeys }), options));
        return;
      }
      if (verifierKeys === undefined) self.error('error: say with --key what the log is verified with');
      const [{ verifyArchives }, { noKeys }] = [
        await import('../../archive/verifyArchive.ts'),
        await import('../../archive/manifest.ts'),
      ];
      const verified = verifyArchives(await targetNamed(target), { keyOf: noKeys, verifierKeys });
      // Whoever names a place means that there are some.
      if ((await tellVerifications(verified, options)) === 0) process.exitCode = 1;
    });
  return withExample(command, 'archive verify', `archive verify ./archive --key ${SOME_KEY}`);
}

/** @returns how many archives there are */
async function tellVerifications(
  verifications: AsyncIterable<ArchiveVerification>,
  { json }: Pick<DataOptions, 'json'>,
): Promise<number> {
  const all: ArchiveVerification[] = [];
  for await (const verification of verifications) {
    all.push(verification);
    if (verification.findings.length > 0) process.exitCode = 1;
    if (!json) tellVerification(verification);
  }
  if (json) printJson(all);
  else if (all.length === 0) print('No archives.');
  return all.length;
}

function tellVerification({ archive, verified, rowsRead, findings }: ArchiveVerification): void {
  print(...findings.map((finding) => `${archive}: ${findingText(finding)}`));
  if (findings.length > 0) return;
  print(
    rowsRead
      ? `${archive}: ${count(verified, 'row is', 'rows are')} as signed.`
      : `${archive}: the files are as written; without the key, nothing can be said about the rows.`,
  );
}

function findingText(finding: ArchiveFinding): string {
  if (finding.kind === 'file_missing') return `MISSING    ${finding.file} is not there`;
  if (finding.kind === 'file_changed') return `CHANGED    ${finding.file} is not what was written`;
  if (finding.kind === 'unreadable') return `UNREADABLE ${finding.file}: ${finding.reason}`;
  if (finding.kind === 'row_count') return `ROWS       there are ${finding.rows}, and should be ${finding.wanted}`;
  return textOfFinding(finding);
}

interface SearchOptions extends DataOptions, ArchiveSearch {
  readonly in?: string;
}

function search(): Command {
  const command = readCommand('search', 'search the archives, the newest rows first')
    .option('--in <target>', 'a directory or s3://bucket/prefix, without any database (default: MOONGUARD_ARCHIVE)')
    .option('--policy-id <id>', 'only of this policy')
    .addOption(new Option('--action-type <type...>', 'only of these').choices(actionTypes))
    .option('--customer-id <id>', 'only about this customer')
    .option('--transaction-id <id>', 'only about this transaction')
    .option('--correlation-id <id>', 'only what happened because of this event')
    .option('--retention-class <class>', 'only of this class')
    .option('--from <time>', 'executed at this time or later', time)
    .option('--to <time>', 'executed before this time', time)
    .option('--text <text>', 'part of the reason or the notes, in whatever case')
    .option('--limit <number>', 'how many, at most 10000', positive, 50)
    .action(async ({ json, dataDirectory, in: target, ...wanted }: SearchOptions) => {
      if (target === undefined) {
        await answer({ json, dataDirectory }, ({ archives }) => archives.search(wanted), tellRows);
        return;
      }
      const { searchArchives } = await import('../../archive/searchArchives.ts');
      const { noKeys } = await import('../../archive/manifest.ts');
      const rows = await searchArchives(await targetNamed(target), noKeys, wanted);
      if (json) printJson(rows);
      else tellRows(rows);
    });
  return withExample(command, 'archive search --customer-id customer_123 --from 2026-01-01T00:00:00Z');
}

function tellRows(rows: readonly FoundRow[]): void {
  printTable(
    rows.map(({ entry }) => entry),
    policyLogColumns,
    'No rows.',
  );
}

function require(): Command {
  const command = changeCommand('require', 'whether retention leaves rows of the log that stand in no verified archive')
    .addArgument(new Argument('<answer>', 'at first: no').choices(['yes', 'no']))
    .action((given: 'yes' | 'no', { as: actor, ...options }: ChangeOptions) =>
      answer(
        options,
        async ({ archives }) => {
          await archives.requireBeforeRemoval(given === 'yes', { actor });
          return { archivedBeforeRemoval: given === 'yes' };
        },
        printFields,
      ),
    );
  return withExample(command, 'archive require yes');
}

function eraseKey(): Command {
  const command = changeCommand('erase-key', 'make an encrypted archive unreadable for ever, wherever its files are')
    .argument('<archive>', 'id of the archive')
    .action((id: string, { as: actor, ...options }: ChangeOptions) =>
      answer(options, ({ archives }) => archives.eraseKey(id, { actor }), printFields),
    );
  return withExample(command, `archive erase-key ${SOME_ARCHIVE}`);
}

async function targetNamed(target: string) {
  if (!target.startsWith('s3://') && !existsSync(target)) {
    throw new MoonguardError('archive_target_failed', `There is no directory ${target}.`);
  }
  const { openTarget } = await import('../../archive/target.ts');
  return openTarget({ ...configOf({}).archive, target });
}
