import { randomBytes } from 'node:crypto';
import { basename } from 'node:path';
import { z } from 'zod';
import type { AuditService, SignedCheckpoint } from '../audit/AuditService.ts';
import { openCheckpoint } from '../audit/checkpoint.ts';
import { parseVerifier } from '../audit/signedNote.ts';
import { asActor } from '../database/asActor.ts';
import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { WriteOptions } from '../input/writeOptions.ts';
import type { Runtime } from '../runtime.ts';
import type { SecretBox } from '../secrets/secretBox.ts';
import { type Archive, type ArchiveRow, type ArchiveState, archiveStates, decodeArchive } from './archive.ts';
import { isSameAsStored } from './compareArchive.ts';
import {
  archiveName,
  type FoundManifest,
  type KeyOf,
  manifestName,
  type NewManifest,
  readManifest,
} from './manifest.ts';
import { ARCHIVE_KEY_BYTES } from './sealedFile.ts';
import { type ArchiveSearch, type FoundRow, searchArchives } from './searchArchives.ts';
import type { ArchiveSettings } from './settings.ts';
import { claimArchive, releaseArchives } from './store/claimArchive.ts';
import { eraseArchiveKey } from './store/eraseArchiveKey.ts';
import { findArchive, listArchives } from './store/listArchives.ts';
import { listMonthsToArchive } from './store/listMonthsToArchive.ts';
import { insertArchive, listUnplannedClasses } from './store/planArchives.ts';
import { setArchiveBeforeRemoval } from './store/setArchiveBeforeRemoval.ts';
import {
  deletePlannedArchive,
  markArchiveVerified,
  markArchiveWritten,
  type WrittenFacts,
} from './store/settleArchive.ts';
import { scopeOf } from './storedRows.ts';
import { type ArchiveTarget, openTarget } from './target.ts';
import { type ArchiveVerification, openRows, verifyArchive, verifyArchives } from './verifyArchive.ts';
import { writeArchive } from './writeArchive.ts';

/** After a killed run, another one goes on after this time. A row group takes a few seconds. */
const CLAIM_MS = 5 * 60_000;
/** Rows may go while they are written, as retention has it; then the archive is written again. */
const ATTEMPTS = 3;

export interface ArchiveDependencies {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'newId'>;
  readonly secretBox: SecretBox;
  readonly audit: Pick<AuditService, 'checkpoint' | 'keys'>;
  readonly settings: ArchiveSettings;
}

export interface ArchiveProgress {
  /** `policy-logs/standard/2026-10` */
  readonly archive: string;
  readonly step: 'writing' | 'comparing';
  readonly rows: number;
}

export interface ArchiveRunOptions {
  /** Ends the run between two row groups; what is half written is written again by the next one. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: ArchiveProgress) => void) | undefined;
  /** Instead of the time of the database: which months are over. */
  readonly now?: Date | undefined;
}

export interface ArchiveRun {
  /** interrupted: another run is at it, or the program stops. The rest is for the next run. */
  readonly status: 'finished' | 'interrupted';
  /** What was written, read back and compared. */
  readonly archives: readonly Archive[];
}

/** Keeps the policy log outside of the database, in files that prove themselves. */
export class ArchiveService {
  readonly #dependencies: ArchiveDependencies;
  readonly #database: Database;

  constructor(dependencies: ArchiveDependencies) {
    this.#dependencies = dependencies;
    this.#database = dependencies.database;
  }

  /**
   * Writes what no archive has yet of the months that are over, and finishes what an earlier run has begun.
   * @throws MoonguardError archive_target_missing, archive_target_failed, archive_too_large, archive_differs,
   *   audit_checkpoint_missing, audit_tree_inconsistent
   */
  async run({ signal, onProgress = () => {}, now }: ArchiveRunOptions = {}): Promise<ArchiveRun> {
    const target = this.#target();
    const checkpoint = await this.#dependencies.audit.checkpoint();
    await this.#plan(checkpoint, now);
    const runId = this.#dependencies.runtime.newId();
    const verified: Archive[] = [];
    try {
      for (const row of await listArchives(this.#database.db, ['planned', 'written'])) {
        const finished = await this.#finish(row, { target, checkpoint, runId, signal, onProgress });
        if (finished === 'interrupted') return { status: 'interrupted', archives: verified };
        if (finished !== 'empty') verified.push(finished);
      }
    } finally {
      await releaseArchives(this.#database.db, runId);
    }
    return { status: 'finished', archives: verified };
  }

  /** By month, class and part. */
  async list(states: readonly ArchiveState[] = archiveStates): Promise<Archive[]> {
    return (await listArchives(this.#database.db, states)).map(decodeArchive);
  }

  /**
   * Compares all archives of the target with their manifests and the signed tree, and says which the database knows of that
   * are not there.
   * @param options.verifierKeys what the log is and was verified with; default: what the database names
   * @throws MoonguardError as verifyArchives
   */
  async *verify({
    verifierKeys,
  }: {
    readonly verifierKeys?: readonly string[] | undefined;
  } = {}): AsyncGenerator<ArchiveVerification> {
    const target = this.#target();
    const missing = new Set(
      (await this.list(['verified'])).filter((known) => known.target === target.name).map(({ manifest }) => manifest),
    );
    const trusted = { keyOf: this.#keyOf, verifierKeys: verifierKeys ?? (await this.#verifierKeys()) };
    for await (const verification of verifyArchives(target, trusted)) {
      missing.delete(verification.archive);
      yield verification;
    }
    for (const archive of missing) {
      if (archive === null) continue;
      yield { archive, verified: 0, rowsRead: false, findings: [{ kind: 'file_missing', file: basename(archive) }] };
    }
  }

  /** Rows in the archives of the target, the newest first. @throws MoonguardError as searchArchives */
  async search(search: ArchiveSearch): Promise<FoundRow[]> {
    return searchArchives(this.#target(), this.#keyOf, search);
  }

  /**
   * Makes an encrypted archive unreadable for ever, wherever its files are.
   * @throws MoonguardError archive_not_found, archive_not_encrypted
   */
  async eraseKey(id: string, { actor = 'system', transaction: within }: WriteOptions = {}): Promise<Archive> {
    return this.#database.transaction(async (transaction) => {
      const isId = z.guid().safeParse(id).success;
      const isErased = isId && (await eraseArchiveKey(transaction, id, actor));
      const row = isId ? await findArchive(transaction, id) : undefined;
      if (row === undefined) throw new MoonguardError('archive_not_found', 'There is no archive with this id.');
      if (!isErased) throw new MoonguardError('archive_not_encrypted', 'The archive has no key, or none any more.');
      return decodeArchive(row);
    }, within);
  }

  /** Whether retention leaves rows of the log that stand in no verified archive; at first it does not. */
  async requireBeforeRemoval(
    isNeeded: boolean,
    { actor = 'system', transaction: within }: WriteOptions = {},
  ): Promise<void> {
    await this.#database.transaction(
      (transaction) => asActor(transaction, actor, () => setArchiveBeforeRemoval(transaction, isNeeded)),
      within,
    );
  }

  async #verifierKeys(): Promise<string[]> {
    return (await this.#dependencies.audit.keys()).map(({ verifierKey }) => verifierKey);
  }

  #target(): ArchiveTarget {
    return openTarget(this.#dependencies.settings);
  }

  async #plan({ checkpoint, verifierKey }: SignedCheckpoint, now: Date | undefined): Promise<void> {
    const { size: treeSize } = openCheckpoint(checkpoint, parseVerifier(verifierKey));
    for (const month of await listMonthsToArchive(this.#database.db, now)) {
      await this.#database.transaction(async (transaction) => {
        for (const retentionClass of await listUnplannedClasses(transaction, { month, treeSize })) {
          const id = this.#dependencies.runtime.newId();
          await insertArchive(transaction, { id, retentionClass, month, treeSize, ...this.#newKey(id) });
        }
      });
    }
  }

  #newKey(id: string): { readonly sealedKey: Buffer | undefined; readonly sealedKeyId: string | undefined } {
    const { secretBox, settings } = this.#dependencies;
    if (!settings.encrypt) return { sealedKey: undefined, sealedKeyId: undefined };
    const key = randomBytes(ARCHIVE_KEY_BYTES).toString('base64');
    return { sealedKey: secretBox.seal(key, id), sealedKeyId: secretBox.keyId };
  }

  readonly #keyOf: KeyOf = async ({ id, encrypted }) => {
    const row = encrypted ? await findArchive(this.#database.db, id) : undefined;
    return row === undefined ? undefined : this.#openKey(row);
  };

  /** Undefined: it is not encrypted, or its key was erased. */
  #openKey({ id, sealed_key: sealedKey, sealed_key_id: keyId }: ArchiveRow): Uint8Array | undefined {
    if (sealedKey === null || keyId === null) return undefined;
    return Buffer.from(this.#dependencies.secretBox.open(sealedKey, keyId, id), 'base64');
  }

  async #finish(row: ArchiveRow, run: RunUnderWay): Promise<Archive | 'interrupted' | 'empty'> {
    const { target, checkpoint, runId, signal, onProgress } = run;
    const { db } = this.#database;
    const archive = decodeArchive(row);
    const name = archiveName(archive);
    const claim = { id: archive.id, runId };
    const mayGoOn = async (): Promise<boolean> =>
      signal?.aborted !== true && (await claimArchive(db, { ...claim, leaseMs: CLAIM_MS }));
    const step = (kind: ArchiveProgress['step']) => {
      let rows = 0;
      return async (more: number): Promise<void> => {
        rows += more;
        onProgress({ archive: name, step: kind, rows });
        if (!(await mayGoOn())) throw new Interrupted();
      };
    };
    try {
      if (!(await mayGoOn())) return 'interrupted';
      const key = this.#openKey(row);
      let isWritten = archive.state === 'written' && archive.target === target.name;
      for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
        if (!isWritten) {
          const work = { database: this.#database, target, archive, checkpoint, key, runId, proceed: step('writing') };
          const written = await writeArchive(work);
          if (written === undefined) {
            await deletePlannedArchive(db, archive.id);
            return 'empty';
          }
          if (!(await markArchiveWritten(db, claim, writtenFacts(target, name, written)))) return 'interrupted';
        }
        if (await this.#isGood(archive, { target, key, proceed: step('comparing') })) {
          if (!(await markArchiveVerified(db, claim))) return 'interrupted';
          return decodeArchive((await findArchive(db, archive.id)) ?? row);
        }
        isWritten = false;
      }
    } catch (error) {
      if (error instanceof Interrupted) return 'interrupted';
      throw error;
    }
    throw new MoonguardError('archive_differs', `What is read from ${name} is not what the database has.`);
  }

  /** Reads an archive back from where it lies: against its manifest, the signed tree, and every row against the database's. */
  async #isGood(
    archive: Archive,
    {
      target,
      key,
      proceed,
    }: {
      readonly target: ArchiveTarget;
      readonly key: Uint8Array | undefined;
      readonly proceed: (rows: number) => Promise<void>;
    },
  ): Promise<boolean> {
    const found = await findManifest(target, manifestName(archiveName(archive)));
    if (found === undefined) return false;
    const { rowsRead, findings } = await verifyArchive({
      ...found,
      target,
      key,
      verifierKeys: await this.#verifierKeys(),
    });
    if (!rowsRead || findings.length > 0) return false;
    const file = await openRows({ ...found, target }, key);
    return isSameAsStored(file, {
      database: this.#database,
      scope: scopeOf(archive),
      proceed: () => proceed(0),
    });
  }
}

function writtenFacts(target: ArchiveTarget, name: string, written: NewManifest): WrittenFacts {
  const { rows, rows_file: rowsFile, tiles_file: tilesFile, retain_until: retainUntil } = written;
  return {
    target: target.name,
    manifest: manifestName(name),
    rowCount: rows,
    bytes: rowsFile.bytes + tilesFile.bytes,
    retainUntil: new Date(retainUntil),
  };
}

/** Undefined when there is none that could be read. */
async function findManifest(target: ArchiveTarget, name: string): Promise<FoundManifest | undefined> {
  try {
    return await readManifest(target, name);
  } catch (error) {
    if (
      error instanceof MoonguardError &&
      (error.code === 'archive_not_found' || error.code === 'archive_unreadable')
    ) {
      return undefined;
    }
    throw error;
  }
}

interface RunUnderWay {
  readonly target: ArchiveTarget;
  readonly checkpoint: SignedCheckpoint;
  readonly runId: string;
  readonly signal: AbortSignal | undefined;
  readonly onProgress: (progress: ArchiveProgress) => void;
}

/** Ends a run from within its work. */
class Interrupted extends Error {}
