import { createHash } from 'node:crypto';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { entryOf, logIdOf } from '../audit/entry.ts';
import { parseVerifier } from '../audit/signedNote.ts';
import { leafHash } from '../audit/tree.ts';
import { type Finding, type FoundLeaf, verifyLog } from '../audit/verifyLog.ts';
import { MoonguardError } from '../errors.ts';
import { erasedGroups, readRow, rowJson } from './columns.ts';
import { besideManifest, type FoundManifest, type KeyOf, listManifests, type Manifest } from './manifest.ts';
import { ReadableParquet } from './parquetFile.ts';
import { openSealed } from './sealedFile.ts';
import type { FileFacts } from './stagedFile.ts';
import type { ArchiveTarget, ReadableFile } from './target.ts';
import { tilesInFile } from './tileFile.ts';

const READ_BYTES = 4 * 1024 * 1024;

export type ArchiveFinding =
  /** The manifest names it. */
  | { readonly kind: 'file_missing'; readonly file: string }
  | { readonly kind: 'file_changed'; readonly file: string }
  /** Nothing can be said about its rows. */
  | { readonly kind: 'unreadable'; readonly file: string; readonly reason: string }
  | { readonly kind: 'row_count'; readonly rows: number; readonly wanted: number }
  /** Against the signed tree. */
  | Finding;

export interface ArchiveVerification {
  /** Name of the manifest. */
  readonly archive: string;
  /** Rows that are what was signed. */
  readonly verified: number;
  /** Whether rows could be looked at: without its key, of an encrypted archive only the files are compared. */
  readonly rowsRead: boolean;
  /** Empty: everything is as it was written and signed. */
  readonly findings: readonly ArchiveFinding[];
}

export interface ArchiveToVerify extends FoundManifest {
  readonly target: ArchiveTarget;
  /** What the log is and was verified with: what one of them has signed is believed. */
  readonly verifierKeys: readonly string[];
  /** Undefined: there is none, or it was erased. */
  readonly key: Uint8Array | undefined;
}

/** All archives of a target. @throws MoonguardError as verifyArchive, and those of readManifest */
export async function* verifyArchives(
  target: ArchiveTarget,
  { keyOf, verifierKeys }: { readonly keyOf: KeyOf; readonly verifierKeys: readonly string[] },
): AsyncGenerator<ArchiveVerification> {
  for (const found of await listManifests(target)) {
    yield await verifyArchive({ ...found, target, verifierKeys, key: await keyOf(found.manifest) });
  }
}

/**
 * Compares the files of an archive with its manifest, and its rows with the signed tree; needs no database.
 * @throws MoonguardError archive_target_failed, and those of a checkpoint
 */
export async function verifyArchive(archive: ArchiveToVerify): Promise<ArchiveVerification> {
  const { target, name, manifest, key } = archive;
  const findings: ArchiveFinding[] = [];
  for (const file of [manifest.rows_file, manifest.tiles_file]) {
    const found = await target.open(besideManifest(name, file.name));
    if (found === undefined) findings.push({ kind: 'file_missing', file: file.name });
    else if (!(await isAsWritten(found, file))) findings.push({ kind: 'file_changed', file: file.name });
  }
  const isMissing = findings.some(({ kind }) => kind === 'file_missing');
  if (isMissing || (manifest.encrypted && key === undefined)) {
    return { archive: name, verified: 0, rowsRead: false, findings };
  }
  try {
    const { verified, found } = await verifyRows(archive);
    return { archive: name, verified, rowsRead: true, findings: [...findings, ...found] };
  } catch (error) {
    if (!(error instanceof MoonguardError) || !unreadableCodes.has(error.code)) throw error;
    const unreadable = { kind: 'unreadable', file: manifest.rows_file.name, reason: error.message } as const;
    return { archive: name, verified: 0, rowsRead: false, findings: [...findings, unreadable] };
  }
}

const unreadableCodes: ReadonlySet<string> = new Set(['archive_unreadable', 'audit_tile_truncated']);

/** The rows of an archive, decrypted if need be. @throws MoonguardError archive_unreadable, archive_key_missing */
export async function openRows(
  { target, name, manifest }: FoundManifest & { readonly target: ArchiveTarget },
  key: Uint8Array | undefined,
): Promise<ReadableParquet> {
  const file = await openNamed(target, name, manifest.rows_file.name);
  if (!manifest.encrypted) return ReadableParquet.open(file);
  if (key === undefined) {
    throw new MoonguardError('archive_key_missing', `${name} is encrypted, and its key is not here.`);
  }
  return ReadableParquet.open(await openSealed(file, key));
}

async function verifyRows(
  archive: ArchiveToVerify,
): Promise<{ readonly verified: number; readonly found: readonly ArchiveFinding[] }> {
  const { target, name, manifest, key, verifierKeys } = archive;
  const checkpoint = openCheckpoint(manifest.checkpoint, ...verifierKeys.map((text) => parseVerifier(text)));
  const tiles = await ReadableParquet.open(await openNamed(target, name, manifest.tiles_file.name));
  const counted = { rows: 0 };
  const { verified, findings } = await verifyLog({
    checkpoint,
    read: await tilesInFile(tiles),
    leaves: foundLeaves(await openRows(archive, key), manifest, counted),
    from: BigInt(manifest.first_leaf),
    to: BigInt(manifest.last_leaf) + 1n,
    rowsWithoutLeaf: [],
    unrecorded: [],
  });
  const count = { kind: 'row_count', rows: counted.rows, wanted: manifest.rows } as const;
  return { verified, found: counted.rows === manifest.rows ? findings : [...findings, count] };
}

/** Leaves between those of the archive are of other months and classes: as if retention had taken them. */
async function* foundLeaves(
  rows: ReadableParquet,
  { first_leaf: first, last_leaf: last }: Manifest,
  counted: { rows: number },
): AsyncGenerator<FoundLeaf> {
  let next = BigInt(first);
  for await (const fileRow of rows.rows()) {
    const row = readRow(fileRow);
    if (row === undefined) throw new MoonguardError('archive_unreadable', 'It has other columns than an archive.');
    const { index, salts, erased, content } = row;
    counted.rows++;
    if (index > next) yield { index: next, removedUntil: index };
    next = index + 1n;
    const { text } = entryOf(rowJson(content), salts, erasedGroups(erased));
    yield { index, hash: leafHash(Buffer.from(text)), logId: logIdOf(text) };
  }
  if (next <= BigInt(last)) yield { index: next, removedUntil: BigInt(last) + 1n };
}

async function openNamed(target: ArchiveTarget, manifest: string, file: string): Promise<ReadableFile> {
  const found = await target.open(besideManifest(manifest, file));
  if (found === undefined) throw new MoonguardError('archive_unreadable', `${file} is missing.`);
  return found;
}

async function isAsWritten(file: ReadableFile, { bytes, sha256 }: FileFacts): Promise<boolean> {
  if (file.byteLength !== bytes) return false;
  const hash = createHash('sha256');
  for (let at = 0; at < bytes; at += READ_BYTES) {
    hash.update(new Uint8Array(await file.slice(at, Math.min(at + READ_BYTES, bytes))));
  }
  return hash.digest('hex') === sha256;
}
