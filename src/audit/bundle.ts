import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { commitsTo, type Disclosures, type LogEntry } from './entry.ts';
import type { Verifier } from './signedNote.ts';
import { formatTlogProof, parseTlogProof } from './tlogProof.ts';
import { leafHash, verifyInclusion } from './tree.ts';

/** An entry and the groups of columns that are shown with it, as files carry them. */
export const shownEntrySchema = z.strictObject({
  entry: z.string(),
  groups: z.record(z.string(), z.strictObject({ salt: z.base64(), content: z.string() })),
});
export type ShownEntry = z.infer<typeof shownEntrySchema>;

export function shownEntry({ text, groups }: LogEntry): ShownEntry {
  const shown = Array.from(groups, ([group, { salt, content }]) => [
    group,
    { salt: Buffer.from(salt).toString('base64'), content },
  ]);
  return { entry: text, groups: Object.fromEntries(shown) };
}

/**
 * The entry, if the groups shown with it are those it commits to; undefined if not.
 * @throws MoonguardError audit_entry_invalid, audit_version_unknown
 */
export function openShownEntry({ entry, groups: shownGroups }: ShownEntry): LogEntry | undefined {
  const groups: Disclosures = new Map(
    Object.entries(shownGroups).map(([group, { salt, content }]) => [
      group,
      { salt: Buffer.from(salt, 'base64'), content },
    ]),
  );
  return commitsTo(entry, groups) ? { text: entry, groups } : undefined;
}

export function formatBundle(
  entry: LogEntry,
  proof: { readonly index: bigint; readonly path: readonly Uint8Array[]; readonly checkpoint: string },
): string {
  return formatTlogProof({ ...proof, extra: Buffer.from(JSON.stringify(shownEntry(entry))) });
}

export interface VerifiedBundle {
  readonly index: bigint;
  readonly checkpoint: Checkpoint;
  readonly entry: LogEntry;
}

/**
 * What a bundle proves to whoever trusts the log's key, without any database.
 * @throws MoonguardError audit_proof_invalid, audit_version_unknown, audit_entry_invalid, and those of openCheckpoint
 */
export function verifyBundle(text: string, ...verifiers: readonly Verifier[]): VerifiedBundle {
  const { extra, index, path, checkpoint: note } = parseTlogProof(text);
  const checkpoint = openCheckpoint(note, ...verifiers);
  const shown = shownEntrySchema.safeParse(parsedJson(extra)).data;
  if (shown === undefined) throw invalid('It shows no entry with groups of columns.');
  const entry = openShownEntry(shown);
  if (entry === undefined) throw invalid('What is shown is not what the entry commits to.');
  const leaf = leafHash(Buffer.from(entry.text));
  if (!verifyInclusion({ index, leaf, size: checkpoint.size, root: checkpoint.root, proof: path })) {
    throw invalid('The entry is not in the tree of the checkpoint.');
  }
  return { index, checkpoint, entry };
}

function parsedJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    throw invalid('It shows nothing that could be read.');
  }
}

function invalid(message: string): MoonguardError {
  return new MoonguardError('audit_proof_invalid', message);
}
