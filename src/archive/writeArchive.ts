import { existsSync } from 'node:fs';
import { mkdir, readdir, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { SignedCheckpoint } from '../audit/AuditService.ts';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { parseVerifier } from '../audit/signedNote.ts';
import { tilesToVerify } from '../audit/store/readTileToVerify.ts';
import { VerifiedTree } from '../audit/VerifiedTree.ts';
import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Archive } from './archive.ts';
import { type ArchivedRow, type RowContent, rowSchema, writeColumns } from './columns.ts';
import { archiveName, manifestName, manifestText, type NewManifest } from './manifest.ts';
import { ParquetFile } from './parquetFile.ts';
import { SealingSink } from './sealedFile.ts';
import { type FileFacts, StagedFile } from './stagedFile.ts';
import { findDaysOfClass } from './store/findDaysOfClass.ts';
import { scopeOf, storedRows } from './storedRows.ts';
import type { ArchiveTarget } from './target.ts';
import { TileFile } from './tileFile.ts';

/** A row group: read as a whole, and passed over as a whole. */
const MOST_ROWS = 10_000;
const MOST_CHARACTERS = 32 * 1024 * 1024;
/** A lock has a year of four digits. */
const LATEST_MS = Date.parse('9999-12-31T23:59:59Z');

export interface ArchiveToWrite {
  readonly database: Database;
  readonly target: ArchiveTarget;
  readonly archive: Archive;
  readonly checkpoint: SignedCheckpoint;
  /** Undefined: not encrypted. */
  readonly key: Uint8Array | undefined;
  /** Tells the unfinished files of this run from those of others. */
  readonly runId: string;
  /** Called after each row group, and before the last step. May throw, and then nothing is written. */
  readonly proceed: (rows: number) => Promise<void>;
}

/** Writes the files of an archive and, last, its manifest; undefined when there is no row. */
export async function writeArchive(work: ArchiveToWrite): Promise<NewManifest | undefined> {
  const { target, archive, runId } = work;
  await removeLeftovers(target.stagingDirectory, stagingPrefix(archive));
  const staging = join(target.stagingDirectory, `${stagingPrefix(archive)}${runId}`);
  await mkdir(staging, { recursive: true, mode: 0o700 });
  try {
    const staged = { rows: join(staging, 'rows'), tiles: join(staging, 'tiles'), manifest: join(staging, 'manifest') };
    const written = await writeFiles(work, staged);
    if (written === undefined) return undefined;
    const { summary, rows, tiles } = written;
    const name = archiveName(archive);
    // Named for what is in them: a manifest never names a file that a later attempt has replaced.
    const rowsName = `${name}.${rows.sha256.slice(0, 16)}.parquet${work.key === undefined ? '' : '.sealed'}`;
    const tilesName = `${name}.${tiles.sha256.slice(0, 16)}.tiles.parquet`;
    const manifest: NewManifest = {
      id: archive.id,
      retention_class: archive.retentionClass,
      month: archive.month,
      from_leaf: archive.fromLeaf,
      to_leaf: archive.toLeaf,
      ...summary,
      encrypted: work.key !== undefined,
      rows_file: { name: basename(rowsName), ...rows },
      tiles_file: { name: basename(tilesName), ...tiles },
      checkpoint: work.checkpoint.checkpoint,
      verifier_key: work.checkpoint.verifierKey,
    };
    const text = await StagedFile.create(staged.manifest);
    await text.write(Buffer.from(manifestText(manifest)));
    const facts = await text.finish();

    const retainUntil = new Date(summary.retain_until);
    await target.put({ name: rowsName, path: staged.rows, ...rows, retainUntil });
    await target.put({ name: tilesName, path: staged.tiles, ...tiles, retainUntil });
    await work.proceed(0);
    await target.put({ name: manifestName(name), path: staged.manifest, ...facts, retainUntil });
    return manifest;
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

const stagingPrefix = ({ id }: Archive): string => `moonguard-archive-${id}.`;

/** What killed runs had begun. One that is still at it has lost its claim: it must not go on. */
async function removeLeftovers(directory: string, prefix: string): Promise<void> {
  if (!existsSync(directory)) return;
  for (const name of await readdir(directory)) {
    if (name.startsWith(prefix)) await rm(join(directory, name), { recursive: true, force: true });
  }
}

interface WrittenFiles {
  readonly summary: Summary;
  readonly rows: FileFacts;
  readonly tiles: FileFacts;
}

async function writeFiles(
  { database, archive, checkpoint, key, proceed }: ArchiveToWrite,
  paths: { readonly rows: string; readonly tiles: string },
): Promise<WrittenFiles | undefined> {
  const signed = openCheckpoint(checkpoint.checkpoint, parseVerifier(checkpoint.verifierKey));
  const rowsFile = await StagedFile.create(paths.rows);
  const tilesFile = await StagedFile.create(paths.tiles);
  try {
    const tiles = new TileFile(tilesFile);
    const tree = await VerifiedTree.open(signed, tiles.copying(tilesToVerify(database.db)));
    if (tree === undefined) {
      throw new MoonguardError('audit_tree_inconsistent', 'The tiles are not those of the last checkpoint.');
    }
    const sealing = key === undefined ? undefined : new SealingSink(rowsFile, key);
    const parquet = new ParquetFile(sealing ?? rowsFile, rowSchema);
    const leastDays = await findDaysOfClass(database.db, archive.retentionClass);
    let summary: Summary | undefined;
    for await (const rows of groupsOf(storedRows(database, scopeOf(archive)))) {
      // By the way, their tiles are copied.
      for (const { index } of rows) await tree.leaf(index);
      await parquet.writeGroup(writeColumns(rows));
      for (const row of rows) summary = withRow(summary, row, leastDays);
      await proceed(rows.length);
    }
    await parquet.finish();
    await sealing?.finish();
    await tiles.finish();
    const facts = { rows: await rowsFile.finish(), tiles: await tilesFile.finish() };
    return summary === undefined ? undefined : { summary, ...facts };
  } finally {
    await rowsFile.close();
    await tilesFile.close();
  }
}

async function* groupsOf(
  rows: AsyncIterable<ArchivedRow & { readonly characters: number }>,
): AsyncGenerator<readonly ArchivedRow[]> {
  let group: ArchivedRow[] = [];
  let characters = 0;
  for await (const row of rows) {
    group.push(row);
    characters += row.characters;
    if (group.length < MOST_ROWS && characters < MOST_CHARACTERS) continue;
    yield group;
    group = [];
    characters = 0;
  }
  if (group.length > 0) yield group;
}

type Summary = Pick<
  NewManifest,
  'rows' | 'first_leaf' | 'last_leaf' | 'first_executed_at' | 'last_executed_at' | 'retain_until'
>;

/** What the manifest says about rows, with one more. Times of one form, in UTC, sort as texts. */
function withRow(before: Summary | undefined, { index, content }: ArchivedRow, leastDays: number): Summary {
  const leaf = Number(index);
  const executedAt = timeIn(content, 'executed_at') ?? '';
  const retainUntil = retentionEnd(content, leastDays);
  if (before === undefined) {
    return {
      rows: 1,
      first_leaf: leaf,
      last_leaf: leaf,
      first_executed_at: executedAt,
      last_executed_at: executedAt,
      retain_until: retainUntil,
    };
  }
  const { rows, first_executed_at: first, last_executed_at: last, retain_until: until } = before;
  return {
    ...before,
    rows: rows + 1,
    last_leaf: leaf,
    first_executed_at: executedAt < first ? executedAt : first,
    last_executed_at: executedAt > last ? executedAt : last,
    retain_until: retainUntil > until ? retainUntil : until,
  };
}

/** The later of what the class and what the row itself ask for. */
function retentionEnd(content: RowContent, leastDays: number): string {
  const days = Math.max(Number(content.get('retention_period_days') ?? 0), leastDays);
  const byDays = Date.parse(timeIn(content, 'executed_at') ?? '') + days * 86_400_000;
  const byClass = Date.parse(timeIn(content, 'retain_until') ?? '');
  const end = Math.max(byDays, Number.isNaN(byClass) ? byDays : byClass);
  return new Date(Math.min(end, LATEST_MS)).toISOString();
}

function timeIn(content: RowContent, column: string): string | undefined {
  const value: unknown = JSON.parse(content.get(column) ?? 'null');
  return typeof value === 'string' ? value : undefined;
}
