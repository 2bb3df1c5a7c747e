import { statSync, writeFileSync } from 'node:fs';
import { Command, InvalidArgumentError } from 'commander';
import { type EntryKind, entryKinds } from '../../audit/entryKinds.ts';
import type { Finding, Verification } from '../../audit/verifyLog.ts';
import type { Moonguard } from '../../moonguard.ts';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { fileText } from '../fileText.ts';
import { leafIndex, list } from '../optionValues.ts';
import { count, print, printFields, printJson, printTable, timeText } from '../output.ts';
import { answer } from '../session.ts';
import { watchCommand } from './auditWatch.ts';

const SOME_LOG = 'log_0199f2c4a1b27d3e8c5f6a7b8c9d0e1f';
const SOME_KEY = 'example.com/log+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k';

export function auditCommand(): Command {
  const audit = new Command('audit').description('proof that nothing that is logged was changed');
  for (const make of [
    checkpoint,
    prove,
    proveGrowth,
    verify,
    exportLeaves,
    makeKey,
    listKeys,
    rotateKey,
    listWitnesses,
    watchCommand,
  ])
    audit.addCommand(make());
  return audit;
}

function checkpoint(): Command {
  const command = readCommand('checkpoint', 'print the newest signed checkpoint, to be kept where nobody can change it')
    .option('--key', 'print instead what it is verified with')
    .option('--witnessed', 'print the newest one that a witness has cosigned')
    .action(({ key, witnessed, ...options }: DataOptions & { readonly key?: true; readonly witnessed?: true }) =>
      answer(
        options,
        ({ audit }) => (witnessed ? audit.witnessedCheckpoint() : audit.checkpoint()),
        (signed) => print(key ? signed.verifierKey : signed.checkpoint.trimEnd()),
      ),
    );
  return withExample(command, 'audit checkpoint', 'audit checkpoint --key');
}

function prove(): Command {
  const command = readCommand('prove', 'print the proof that a row is in the log, with its content')
    .argument('<id>', "log_id in the policy log; id of an entry of an alert's timeline, or of a change of an endpoint")
    .option('--out <file>', 'write it into a file')
    .action((id: string, { out, ...options }: DataOptions & { readonly out?: string }) =>
      answer(
        options,
        async ({ audit }) => {
          const proof = await audit.prove(id);
          if (out !== undefined) writeFileSync(out, proof);
          return { id, proof };
        },
        ({ proof }) => print(out === undefined ? proof.trimEnd() : `The proof is in ${out}.`),
      ),
    );
  return withExample(command, `audit prove ${SOME_LOG} --out row.tlog-proof`);
}

function proveGrowth(): Command {
  const command = readCommand('growth', 'print the proof that the log has only grown since a checkpoint')
    .argument('<checkpoint>', 'a file with a checkpoint of this log')
    .action((file: string, options: DataOptions) =>
      answer(
        options,
        async ({ audit }) => ({ proof: await audit.proveGrowth(fileText(file)) }),
        ({ proof }) => print(proof.trimEnd()),
      ),
    );
  return withExample(command, 'audit growth 2026-11-01.checkpoint');
}

interface VerifyOptions extends DataOptions {
  readonly key?: readonly string[];
  readonly against?: string;
}

function verify(): Command {
  const command = readCommand(
    'verify',
    'check everything logged; or a proof, of a row or of growth, or an exported folder, without any database',
  )
    .argument('[path]', 'a proof or an exported folder; default: the database')
    .option(
      '--key <key>',
      'what the log is verified with; several while keys change (default, in the database only: what it names)',
      list,
    )
    .option('--against <file>', 'a checkpoint of this log from earlier, held elsewhere')
    .action(async (path: string | undefined, { key, against, ...options }: VerifyOptions, self: Command) => {
      const earlier = against === undefined ? undefined : fileText(against);
      if (path === undefined) {
        const work = async ({ audit }: Pick<Moonguard, 'audit'>) =>
          judged(await audit.verify({ verifierKey: key, earlier }));
        await answer(options, work, (verification) => {
          tellFindings(verification);
          if (key === undefined)
            print('The key is the one that the database names; with --key, it is the one that you hold.');
        });
        return;
      }
      if (key === undefined) self.error('error: say with --key what the log is verified with');
      await verifyFile(path, { verifierKey: key, earlier }, options.json ? printJson : undefined);
    });
  return withExample(
    command,
    'audit verify --against 2026-11-01.checkpoint',
    `audit verify ./export --key ${SOME_KEY}`,
  );
}

interface ExportOptions extends DataOptions {
  readonly kinds?: readonly EntryKind[];
  readonly from?: bigint;
  readonly to?: bigint;
}

function exportLeaves(): Command {
  const command = readCommand('export', 'write rows with everything that is needed to check them into a folder')
    .argument('<folder>', 'where; it is made')
    .option(
      '--kinds <kinds>',
      `what it shows, of ${entryKinds.join(', ')}; who gets alert_timeline must be allowed to see alerts (default: policy_log)`,
      kindList,
    )
    .option('--from <index>', 'from this leaf on (default: the first)', leafIndex)
    .option('--to <index>', 'up to the leaf before this one (default: the last)', leafIndex)
    .action((folder: string, { from, to, kinds, ...options }: ExportOptions) =>
      answer(
        options,
        async ({ audit }) => ({ folder, rows: await audit.export(folder, { from, to, kinds }) }),
        ({ rows }) => print(`${count(rows, 'line', 'lines')} in ${folder}.`),
      ),
    );
  return withExample(command, 'audit export ./export', 'audit export ./export --from 1000 --to 2000');
}

function kindList(text: string): EntryKind[] {
  return list(text).map((name) => {
    const kind = entryKinds.find((known) => known === name);
    if (kind === undefined) throw new InvalidArgumentError(`Allowed are ${entryKinds.join(', ')}.`);
    return kind;
  });
}

function makeKey(): Command {
  const command = new Command('key')
    .description('make a key for a log, for MOONGUARD_LOG_KEY; it is shown once')
    .requiredOption('--name <name>', 'of the log: a host and path of yours')
    .action(async ({ name }: { readonly name: string }) => {
      const { newLogKey } = await import('../../audit/logKey.ts');
      print(newLogKey(name));
    });
  return withExample(command, 'audit key --name example.com/policy-log');
}

function listKeys(): Command {
  const command = readCommand('keys', 'list what the log is and was verified with').action((options: DataOptions) =>
    answer(
      options,
      ({ audit }) => audit.keys(),
      (keys) =>
        printTable(
          keys,
          [
            { title: 'SINCE', value: ({ since }) => timeText(since) },
            { title: 'UNTIL', value: ({ retiredAt }) => timeText(retiredAt) },
            { title: 'KEY', value: ({ verifierKey }) => verifierKey },
          ],
          'Nothing is signed yet.',
        ),
    ),
  );
  return withExample(command, 'audit keys --json');
}

function rotateKey(): Command {
  const command = readCommand('rotate-key', 'let another key sign the log, after both have signed it once').action(
    (options: DataOptions) =>
      answer(
        options,
        ({ audit }) => audit.rotateKey(),
        ({ retired, verifierKey, handover }) => {
          print(`Until now  ${retired}`, `From now   ${verifierKey}`);
          if (handover !== null)
            print('', 'Signed with both, to be handed to whoever verifies:', '', handover.trimEnd());
        },
      ),
  );
  return withExample(command, 'audit rotate-key');
}

function listWitnesses(): Command {
  const command = readCommand('witnesses', 'list who else watches the log, and how far they have seen it').action(
    (options: DataOptions) =>
      answer(
        options,
        ({ audit }) => audit.witnesses(),
        (witnesses) =>
          printTable(
            witnesses,
            [
              { title: 'WITNESS', value: ({ verifierKey }) => verifierKey.split('+', 1)[0] },
              { title: 'LEAVES', value: ({ size }) => size, align: 'right' },
              { title: 'COSIGNED', value: ({ cosignedAt }) => timeText(cosignedAt) },
              { title: 'FAILURES', value: ({ failures }) => failures, align: 'right' },
              { title: 'REASON', value: ({ failureReason }) => failureReason, mayCut: true },
            ],
            'No witnesses.',
          ),
      ),
  );
  return withExample(command, 'audit witnesses');
}

/** @param printDocument for programs; default: lines for people */
async function verifyFile(
  path: string,
  trusted: { readonly verifierKey: readonly string[]; readonly earlier: string | undefined },
  printDocument: ((document: object) => void) | undefined,
): Promise<void> {
  const { verifyExport, verifyGrowth, verifyProof } = await import('../../audit/AuditService.ts');
  if (isFolder(path)) {
    (printDocument ?? tellFindings)(judged(await verifyExport(path, trusted)));
    return;
  }
  if (trusted.earlier !== undefined) {
    const size = Number(verifyGrowth(fileText(path), trusted.earlier, trusted.verifierKey));
    if (printDocument === undefined) print(`Verified: the log has only grown since, to ${size} leaves.`);
    else printDocument({ size });
    return;
  }
  const { index, checkpoint: signed, entry } = verifyProof(fileText(path), trusted.verifierKey);
  const proven = {
    log: signed.origin,
    index: Number(index),
    size: Number(signed.size),
    entry: entry.text,
    ...Object.fromEntries(Array.from(entry.groups, ([group, { content }]) => [group, content])),
  };
  if (printDocument === undefined) {
    print('Verified: this row is in the log.');
    printFields(proven);
  } else printDocument(proven);
}

/** What was found ends the command with 1. */
function judged(verification: Verification): Verification {
  if (verification.findings.length > 0) process.exitCode = 1;
  return verification;
}

function tellFindings({ size, from, to, verified, removed, withheld, findings }: Verification): void {
  print(...findings.map(textOfFinding));
  if (findings.length > 0) return;
  const gone = removed === 0 ? '' : `, ${removed} removed at the end of their retention`;
  const hidden = withheld === 0 ? '' : `, ${withheld} not shown`;
  const range = to - from === size ? count(size, 'leaf', 'leaves') : `leaves ${from} to ${to - 1} of ${size}`;
  print(`Verified: ${count(verified, 'row is', 'rows are')} as signed${gone}${hidden} (${range}).`);
}

/** One line about what verifying has found. */
export function textOfFinding(finding: Finding): string {
  switch (finding.kind) {
    case 'changed':
      return `CHANGED    ${finding.logId ?? ''} (leaf ${finding.index}) is not what was signed`;
    case 'reordered':
      return `REORDERED  ${finding.logId ?? ''} (leaf ${finding.index}) was signed at another place`;
    case 'missing':
      return `MISSING    ${finding.rowId ?? ''} (leaf ${finding.index}) is gone, and retention did not remove it`;
    case 'misplaced':
      return `MISPLACED  leaf ${finding.index} stands there twice, out of order, or where nothing was signed`;
    case 'unrecorded':
      return `UNRECORDED what was removed or erased from leaf ${finding.index} on stands nowhere in the log`;
    case 'added':
      return `ADDED      ${finding.logId} never came into the log`;
    case 'tree':
      return `TREE       the hashes from leaf ${finding.index} on are not those that were signed`;
    case 'root':
      return 'ROOT       the tree is not the one that was signed';
    case 'shorter':
      return `SHORTER    the log has ${finding.size} leaves; it once had ${finding.earlierSize}`;
    case 'fork':
      return `FORK       this log does not continue the one of the checkpoint with ${finding.earlierSize} leaves`;
  }
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}
