import { setTimeout as wait } from 'node:timers/promises';
import type { Command } from 'commander';
import { type DataOptions, readCommand, withExample } from '../command.ts';
import { fileText } from '../fileText.ts';
import { list } from '../optionValues.ts';
import { count, print } from '../output.ts';
import { withMoonguard } from '../session.ts';
import { untilSignal } from '../shutdown.ts';

const LOOK_EVERY_MS = 1_000;

interface WatchOptions extends DataOptions {
  readonly key?: readonly string[];
  readonly since?: string;
}

export function watchCommand(): Command {
  const command = readCommand('watch', 'print checkpoints as they are signed, each checked against the one before')
    .option(
      '--key <key>',
      'what the log is verified with; several while keys change (default: what the database names)',
      list,
    )
    .option('--since <file>', 'a checkpoint of this log from earlier, held elsewhere')
    .action(({ key, since, json, ...options }: WatchOptions) =>
      withMoonguard(options, async ({ audit }) => {
        const { followLog } = await import('../../audit/followLog.ts');
        const { parseVerifier } = await import('../../audit/signedNote.ts');
        const stopped = new AbortController();
        void untilSignal().then(() => stopped.abort());
        const keys = key ?? (await audit.keys()).map(({ verifierKey }) => verifierKey);
        const followed = followLog(audit, {
          verifiers: keys.map((text) => parseVerifier(text)),
          since: since === undefined ? undefined : fileText(since),
          wait: () => wait(LOOK_EVERY_MS, true, { signal: stopped.signal }).catch(() => false),
        });
        for await (const { size, grownFrom, checkpoint } of followed) {
          const growth = grownFrom === undefined ? '' : `, grown from ${grownFrom}`;
          print(json ? JSON.stringify({ size, grownFrom, checkpoint }) : `${count(size, 'leaf', 'leaves')}${growth}`);
        }
      }),
    );
  return withExample(command, 'audit watch --since 2026-11-01.checkpoint');
}
