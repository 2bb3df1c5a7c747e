import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import type { ArchiveTarget, ReadableFile } from './target.ts';

/** What an archive is, in a file beside its files. Without it there is no archive: it is written last. */
const FORMAT = 'moonguard-archive@v1';
const FOLDER = 'policy-logs/';
const MANIFEST = '.json';
const LONGEST_MANIFEST_BYTES = 1 << 20;

const leaf = z.int().min(0);
const fileSchema = z.object({
  name: z.string().regex(/^[\w%.-]+$/),
  bytes: z.int().min(0),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
const manifestSchema = z.object({
  format: z.literal(FORMAT),
  id: z.guid(),
  retention_class: z.string(),
  month: z.string().regex(/^\d{4}-\d{2}$/),
  /** All rows of the class and the month with leaves from `from_leaf` up to before `to_leaf` are here. */
  from_leaf: leaf,
  to_leaf: leaf,
  rows: z.int().min(1),
  first_leaf: leaf,
  last_leaf: leaf,
  first_executed_at: z.string(),
  last_executed_at: z.string(),
  retain_until: z.iso.datetime(),
  encrypted: z.boolean(),
  rows_file: fileSchema,
  tiles_file: fileSchema,
  /** Signed; the tiles lead from its root to the leaves of the rows. */
  checkpoint: z.string(),
  /** For convenience: whoever does not trust who wrote this has it from elsewhere. */
  verifier_key: z.string(),
});
export type Manifest = z.infer<typeof manifestSchema>;
export type NewManifest = Omit<Manifest, 'format'>;

/** The key of an encrypted archive; undefined: it is not here. */
export type KeyOf = (manifest: Manifest) => Promise<Uint8Array | undefined>;

/** Without the database, no archive has a key. */
export const noKeys: KeyOf = () => Promise.resolve(undefined);

/** A manifest and where it lies. */
export interface FoundManifest {
  readonly name: string;
  readonly manifest: Manifest;
}

export function manifestText(manifest: NewManifest): string {
  return `${JSON.stringify({ format: FORMAT, ...manifest }, null, 2)}\n`;
}

/** `policy-logs/standard/2026-10`, further parts `…/2026-10.2`: what names of the archive's files begin with. */
export function archiveName({
  retentionClass,
  month,
  part,
}: {
  readonly retentionClass: string;
  readonly month: string;
  readonly part: number;
}): string {
  // A class is any text; a dot would lead out of the folder.
  const folder = encodeURIComponent(retentionClass).replaceAll('.', '%2E');
  return `${FOLDER}${folder}/${month}${part === 1 ? '' : `.${part}`}`;
}

export const manifestName = (archive: string): string => `${archive}${MANIFEST}`;

/** A file that a manifest names, from the place of the manifest. */
export function besideManifest(manifest: string, file: string): string {
  return `${manifest.slice(0, manifest.lastIndexOf('/') + 1)}${file}`;
}

/** Of all archives of a target, by name. @throws MoonguardError archive_target_failed, and those of readManifest */
export async function listManifests(target: ArchiveTarget): Promise<FoundManifest[]> {
  const found: FoundManifest[] = [];
  for (const name of await target.list()) {
    if (name.startsWith(FOLDER) && name.endsWith(MANIFEST)) found.push(await readManifest(target, name));
  }
  return found;
}

/** @throws MoonguardError archive_not_found, archive_unreadable, archive_version_unknown */
export async function readManifest(target: ArchiveTarget, name: string): Promise<FoundManifest> {
  const file = await target.open(name);
  if (file === undefined) throw new MoonguardError('archive_not_found', `There is no ${name} in ${target.name}.`);
  const given = await parsedJson(file);
  const format = z.object({ format: z.string() }).safeParse(given).data?.format;
  if (format?.startsWith('moonguard-archive@') && format !== FORMAT) {
    throw new MoonguardError('archive_version_unknown', `${name} is of the format ${format}; known is ${FORMAT}.`);
  }
  const { data: manifest } = manifestSchema.safeParse(given);
  if (manifest === undefined) throw new MoonguardError('archive_unreadable', `${name} is not that of an archive.`);
  return { name, manifest };
}

async function parsedJson(file: ReadableFile): Promise<unknown> {
  const text = new TextDecoder().decode(await file.slice(0, Math.min(file.byteLength, LONGEST_MANIFEST_BYTES)));
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
