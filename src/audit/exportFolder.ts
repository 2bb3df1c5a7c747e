import { createReadStream, existsSync } from 'node:fs';
import { mkdir, open, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import { openShownEntry, type ShownEntry, shownEntrySchema } from './bundle.ts';
import { openCheckpoint } from './checkpoint.ts';
import { logIdOf } from './entry.ts';
import type { Verifier } from './signedNote.ts';
import { type ReadTile, type SizedTile, tilePath } from './tiles.ts';
import { HASH_BYTES, leafHash } from './tree.ts';
import type { FoundLeaf, LogToVerify } from './verifyLog.ts';

/**
 * An export as a folder: `checkpoint`, `tile/…` as any tool for such logs reads them, `rows.ndjson` with a line for each
 * leaf, and `manifest.json`. It is verified without a database.
 */
const FORMAT = 'moonguard-audit-export@v1';
const MANIFEST = 'manifest.json';
const CHECKPOINT = 'checkpoint';
const ROWS = 'rows.ndjson';

const position = z
  .string()
  .regex(/^(0|[1-9]\d{0,18})$/)
  .transform(BigInt);
const manifestSchema = z.object({ format: z.literal(FORMAT), from: position, to: position });
const removedSchema = z
  .strictObject({ index: position, removed_until: position })
  .refine(({ index, removed_until: end }) => index < end);
const withheldSchema = z.strictObject({ index: position, withheld: z.literal(true) });
const rowSchema = z.strictObject({ index: position, ...shownEntrySchema.shape });

/** A line of the export. */
export type ExportedLeaf =
  | ({ readonly index: bigint } & ShownEntry)
  | { readonly index: bigint; readonly removedUntil: bigint }
  /** Of a kind that whoever gets the export may not see. */
  | { readonly index: bigint; readonly withheld: true };

export interface FolderToWrite {
  readonly checkpoint: string;
  readonly from: bigint;
  readonly to: bigint;
  readonly leaves: AsyncIterable<ExportedLeaf>;
}

/** Writes all but the tiles. The folder must not be there yet, or be empty of exports. */
export async function writeExport(folder: string, { checkpoint, from, to, leaves }: FolderToWrite): Promise<number> {
  if (existsSync(join(folder, MANIFEST))) throw invalid(`There is an export in ${folder} already.`);
  await mkdir(folder, { recursive: true });
  const rows = await open(join(folder, ROWS), 'w');
  let written = 0;
  try {
    for await (const leaf of leaves) {
      await rows.appendFile(`${JSON.stringify(lineOf(leaf))}\n`);
      written++;
    }
  } finally {
    await rows.close();
  }
  await writeFile(join(folder, CHECKPOINT), checkpoint);
  // The last file: a folder without it is no export.
  await writeFile(
    join(folder, MANIFEST),
    `${JSON.stringify({ format: FORMAT, from: `${from}`, to: `${to}` }, null, 2)}\n`,
  );
  return written;
}

/** Reads tiles and writes each into the folder by the way. */
export function copyingTiles(folder: string, read: ReadTile): ReadTile {
  return async (tile) => {
    const hashes = await read(tile);
    if (hashes === undefined) return undefined;
    await writeTile(folder, tile, hashes.subarray(0, tile.width * HASH_BYTES));
    return hashes;
  };
}

export async function writeTile(folder: string, tile: SizedTile, hashes: Uint8Array): Promise<void> {
  const file = join(folder, tilePath(tile));
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, hashes, { flush: true });
}

/**
 * An exported folder as {@link verifyLog} takes it.
 * @throws MoonguardError audit_export_invalid, audit_version_unknown, and those of openCheckpoint
 */
export async function openExport(folder: string, verifiers: readonly Verifier[]): Promise<LogToVerify> {
  const { from, to } = parsedManifest(await textOf(join(folder, MANIFEST)));
  const checkpoint = openCheckpoint(await textOf(join(folder, CHECKPOINT)), ...verifiers);
  if (from > to || to > checkpoint.size) throw invalid('The manifest names leaves that the checkpoint does not have.');
  return { checkpoint, from, to, read: tilesIn(folder), leaves: leavesIn(folder), rowsWithoutLeaf: [], unrecorded: [] };
}

function tilesIn(folder: string): ReadTile {
  return async (tile) => {
    const file = join(folder, tilePath(tile));
    return existsSync(file) ? readFile(file) : undefined;
  };
}

async function* leavesIn(folder: string): AsyncGenerator<FoundLeaf> {
  const file = join(folder, ROWS);
  if (!existsSync(file)) throw invalid(`${ROWS} is missing.`);
  for await (const text of createInterface({ input: createReadStream(file), crlfDelay: Number.POSITIVE_INFINITY })) {
    yield foundLeaf(text);
  }
}

function foundLeaf(line: string): FoundLeaf {
  const given = jsonOf(line);
  const removed = removedSchema.safeParse(given).data;
  if (removed !== undefined) return { index: removed.index, removedUntil: removed.removed_until };
  const withheld = withheldSchema.safeParse(given).data;
  if (withheld !== undefined) return withheld;
  const row = rowSchema.safeParse(given).data;
  if (row === undefined) throw invalid(`No line of an export: ${line.slice(0, 200)}`);
  const { index, ...shown } = row;
  const entry = openShownEntry(shown);
  // What is shown is not what the entry commits to: no leaf of the tree is like that.
  const hash = entry === undefined ? new Uint8Array(HASH_BYTES) : leafHash(Buffer.from(entry.text));
  return { index, hash, logId: logIdOf(shown.entry) };
}

function lineOf(leaf: ExportedLeaf): object {
  if ('removedUntil' in leaf) return { index: `${leaf.index}`, removed_until: `${leaf.removedUntil}` };
  return { ...leaf, index: `${leaf.index}` };
}

function parsedManifest(text: string): z.infer<typeof manifestSchema> {
  const given = jsonOf(text);
  const { data: named } = z.object({ format: z.string() }).safeParse(given);
  if (named?.format.startsWith('moonguard-audit-export@') && named.format !== FORMAT) {
    throw new MoonguardError(
      'audit_version_unknown',
      `The export is of the format ${named.format}; known is ${FORMAT}.`,
    );
  }
  const { success, data } = manifestSchema.safeParse(given);
  if (!success) throw invalid(`${MANIFEST} is not that of an export.`);
  return data;
}

async function textOf(file: string): Promise<string> {
  if (!existsSync(file)) throw invalid(`${file} is missing.`);
  return readFile(file, 'utf8');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function invalid(message: string): MoonguardError {
  return new MoonguardError('audit_export_invalid', message);
}
