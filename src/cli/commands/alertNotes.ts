import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { Attachment, TimelineEntry } from '../../compliance/timeline.ts';
import { inputError } from '../../input/parseInput.ts';
import { ALERT, SOME_ALERT } from '../alertArgument.ts';
import { type ChangeOptions, changeCommand, withExample } from '../command.ts';
import { print, timeText } from '../output.ts';
import { answer } from '../session.ts';

/** What is added to the history of an alert and leaves the alert as it is. */
export function noteCommands(): Command[] {
  return [comment(), attach()];
}

function comment(): Command {
  const command = changeCommand('comment', 'add a comment to the history of an alert')
    .argument(...ALERT)
    .argument('<text>', 'the comment')
    .option('--mention <who...>', 'whom it speaks to')
    .action((id: string, text: string, options: ChangeOptions & { readonly mention?: string[] }) => {
      const { as: actor, mention: mentions } = options;
      return answer(options, ({ compliance }) => compliance.comment(id, text, { actor, mentions }), printNoted);
    });
  return withExample(
    command,
    `alerts comment ${SOME_ALERT} "Asked the customer for a proof of address" --mention maria`,
  );
}

function attach(): Command {
  const command = changeCommand('attach', 'add a reference to a document to the history of an alert, with its hash')
    .argument(...ALERT)
    .argument('<file>', 'the document; it is read for its SHA-256 and stays where it is')
    .requiredOption('--uri <uri>', 'where it is kept for others')
    .action(async (id: string, file: string, options: ChangeOptions & { readonly uri: string }) => {
      const attachment = { name: basename(file), uri: options.uri, ...(await digestOf(file)) };
      return answer(options, ({ compliance }) => compliance.attach(id, attachment, { actor: options.as }), printNoted);
    });
  return withExample(
    command,
    `alerts attach ${SOME_ALERT} address.pdf --uri https://documents.example.com/address.pdf`,
  );
}

async function digestOf(file: string): Promise<Pick<Attachment, 'sha256' | 'bytes'>> {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(file)) {
      bytes += chunk.length;
      hash.update(chunk);
    }
  } catch (cause) {
    const message = `${file} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw inputError('request_invalid', [{ code: 'file_unreadable', field: 'file', message }], cause);
  }
  return { sha256: hash.digest('hex'), bytes };
}

function printNoted({ actor, at }: TimelineEntry): void {
  print(`Noted for ${actor} at ${timeText(at)}.`);
}
