import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { formatBundle, shownEntry, type VerifiedBundle, verifyBundle } from './bundle.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import { entryOf, logIdOf } from './entry.ts';
import type { EntryKind } from './entryKinds.ts';
import { copyingTiles, type ExportedLeaf, openExport, writeExport } from './exportFolder.ts';
import { formatGrowthProof, hasGrown, verifyGrowthProof } from './growthProof.ts';
import type { LogKeyPlace } from './logKey.ts';
import { MAXIMUM_MERGE_DELAY_MS } from './mergeDelay.ts';
import { type KeyRotation, rotateLogKey } from './rotateLogKey.ts';
import { parseVerifier, type Verifier } from './signedNote.ts';
import { beginReading } from './store/beginReading.ts';
import { findLeafOf } from './store/findLeafOf.ts';
import { findSaidOfLog } from './store/findSaidOfLog.ts';
import { type LogKeyRecord, listLogKeys } from './store/listLogKeys.ts';
import { listRowsWithoutLeaf } from './store/listRowsWithoutLeaf.ts';
import { listUnrecordedLeaves } from './store/listUnrecordedLeaves.ts';
import { listWitnesses, type WitnessRecord } from './store/listWitnesses.ts';
import { type AuditProgress, readProgress } from './store/readProgress.ts';
import { tilesToProve } from './store/readTilesToProve.ts';
import { tilesToVerify } from './store/readTileToVerify.ts';
import { type StoredEntry, storedEntries } from './storedLeaves.ts';
import { consistencyPath, inclusionPath, type LeafRange } from './subtrees.ts';
import { TileHashes, tilesBehind } from './tiles.ts';
import { leafHash, verifyInclusion } from './tree.ts';
import { VerifiedTree } from './VerifiedTree.ts';
import { type FoundLeaf, type Verification, verifyLog } from './verifyLog.ts';
import { waitUntilSequenced } from './waitUntilSequenced.ts';

export interface SignedCheckpoint {
  /** The signed note. */
  readonly checkpoint: string;
  /** What it is verified with. Whoever does not trust this database takes it from elsewhere. */
  readonly verifierKey: string;
}

export interface VerifyOptions {
  /**
   * `<name>+<key id>+<base64>`, or several while keys change: what one of them has signed is believed. Default: what the
   * database names.
   */
  readonly verifierKey?: string | readonly string[] | undefined;
  /** A signed checkpoint of this log, held where whoever could change the log could not. */
  readonly earlier?: string | undefined;
}

export interface ExportRange {
  /** Index of the first leaf; default 0. */
  readonly from?: bigint | undefined;
  /** Index after the last leaf; default: the size of the log. */
  readonly to?: bigint | undefined;
  /**
   * What is shown; leaves of other kinds only have their place. Default: the policy log alone. `alert_timeline` is for those
   * who may read alerts, and never for the customer one is about.
   */
  readonly kinds?: readonly EntryKind[] | undefined;
}

/** Proof that the policy log is as it was written, for those who trust neither the database nor us. */
export class AuditService {
  readonly #database: Database;

  readonly #keyPlace: LogKeyPlace;

  constructor({ database, logKey, dataDirectory }: { readonly database: Database } & Partial<LogKeyPlace>) {
    this.#database = database;
    this.#keyPlace = { logKey, dataDirectory };
  }

  /** The newest checkpoint. @throws MoonguardError audit_checkpoint_missing */
  checkpoint(): Promise<SignedCheckpoint> {
    return checkpointOf(this.#database.db);
  }

  /** How far the log has come, and what waits to get into it. */
  progress(): Promise<AuditProgress> {
    return readProgress(this.#database.db);
  }

  /**
   * A checkpoint over a row, for whoever needs its proof at once. The row has to be committed.
   * @param id log_id in the policy log, or id of an entry of an alert's timeline or of an endpoint's history
   * @param options.withinMs how long to wait; default: the maximum merge delay, 5000
   * @throws MoonguardError policy_log_not_found; audit_delayed when it took longer, because nothing signs or too much waits
   */
  async waitForCheckpoint(id: string, { withinMs = MAXIMUM_MERGE_DELAY_MS } = {}): Promise<SignedCheckpoint> {
    await waitUntilSequenced(this.#database.db, id, withinMs);
    return this.checkpoint();
  }

  /**
   * {@link rotateLogKey}. Processes that have both keys in their setting go on at once, the others when they are started with
   * the new one; meanwhile rows wait.
   */
  rotateKey(): Promise<KeyRotation> {
    return rotateLogKey(this.#database, this.#keyPlace);
  }

  /** What others who watch the log have cosigned last; the one that has seen most first. */
  witnesses(): Promise<WitnessRecord[]> {
    return listWitnesses(this.#database.db);
  }

  /**
   * The newest checkpoint that a witness has cosigned, with the cosignatures of all who have.
   * @throws MoonguardError audit_checkpoint_missing
   */
  async witnessedCheckpoint(): Promise<SignedCheckpoint> {
    const { verifierKey } = await checkpointOf(this.#database.db);
    const witnesses = await this.witnesses();
    const newest = witnesses[0]?.checkpoint ?? null;
    if (newest === null) throw new MoonguardError('audit_checkpoint_missing', 'No witness has cosigned yet.');
    const cosigned = witnesses.filter(({ checkpoint }) => checkpoint === newest);
    return { checkpoint: newest + cosigned.map(({ cosignatures }) => cosignatures).join(''), verifierKey };
  }

  /** What the log is and was verified with, the current key first. */
  keys(): Promise<LogKeyRecord[]> {
    return listLogKeys(this.#database.db);
  }

  /**
   * Proof that a row is in the log, with its content: a text that needs nothing else.
   * @param id log_id in the policy log, or id of an entry of an alert's timeline or of an endpoint's history
   * @throws MoonguardError policy_log_not_found, audit_not_sequenced, audit_tree_inconsistent when the row is not what was
   *   put into the tree: no proof of that is given
   */
  async prove(id: string): Promise<string> {
    // Without a transaction, which would take three more round trips: what is read later has grown at most.
    const { db } = this.#database;
    const leaf = await findLeafOf(db, id);
    if (leaf === undefined) throw new MoonguardError('policy_log_not_found', 'Nothing that is logged has this id.');
    const { index, kind, salts, row, erased } = leaf;
    if (index === null || salts === null) {
      throw new MoonguardError('audit_not_sequenced', 'The row is not in a signed tree yet.');
    }
    const { checkpoint, verifierKey } = await checkpointOf(db);
    const { size, root } = openCheckpoint(checkpoint, parseVerifier(verifierKey));
    const entry = entryOf(row, salts, erased ?? {}, kind);
    const path = await hashesOf(db, inclusionPath(index, size), size);
    if (!verifyInclusion({ index, size, root, leaf: leafHash(Buffer.from(entry.text)), proof: path })) {
      throw new MoonguardError('audit_tree_inconsistent', 'The row is not what was put into the tree.');
    }
    return formatBundle(entry, { index, path, checkpoint });
  }

  /**
   * Proof that the log has only grown since a checkpoint, for whoever holds that one and need not see a row.
   * @param earlier signed
   * @throws MoonguardError audit_fork when it has not grown from that: no proof is given; audit_checkpoint_missing, and those
   *   of a checkpoint
   */
  async proveGrowth(earlier: string): Promise<string> {
    return this.#reading(async (transaction) => {
      const { checkpoint } = await checkpointOf(transaction);
      const verifiers = verifiersOf(await keysOf(transaction));
      const [before, now] = [openCheckpoint(earlier, ...verifiers), openCheckpoint(checkpoint, ...verifiers)];
      const ranges = before.size > 0n && before.size < now.size ? consistencyPath(before.size, now.size) : [];
      const path = await hashesOf(transaction, ranges, now.size);
      if (!hasGrown(before, now, path)) {
        throw new MoonguardError(
          'audit_fork',
          `The log of ${now.size} leaves does not continue that of ${before.size}.`,
        );
      }
      return formatGrowthProof({ oldSize: before.size, path, checkpoint });
    });
  }

  /**
   * Compares every row of the policy log, of the timelines of alerts and of the histories of endpoints with what was signed.
   * @throws MoonguardError audit_checkpoint_missing, audit_tile_truncated, log_key_invalid, and those of a checkpoint
   */
  async verify({ verifierKey, earlier }: VerifyOptions = {}): Promise<Verification> {
    return this.#reading(async (transaction) => {
      const said = await checkpointOf(transaction);
      const verifiers = verifiersOf(verifierKey ?? said.verifierKey);
      const checkpoint = openCheckpoint(said.checkpoint, ...verifiers);
      const ofEarlier = verifierKey === undefined ? verifiersOf(await keysOf(transaction)) : verifiers;
      return verifyLog({
        checkpoint,
        earlier: earlierOf(earlier, ofEarlier),
        read: tilesToVerify(transaction),
        leaves: foundLeaves(storedEntries(transaction, 0n, checkpoint.size)),
        rowsWithoutLeaf: await listRowsWithoutLeaf(transaction, 100),
        unrecorded: await listUnrecordedLeaves(transaction),
      });
    });
  }

  /**
   * Writes leaves, with everything that is needed to check them, into a folder; returns how many lines.
   * @throws MoonguardError audit_checkpoint_missing, audit_export_invalid, audit_tile_truncated
   */
  async export(folder: string, { from = 0n, to, kinds = ['policy_log'] }: ExportRange = {}): Promise<number> {
    return this.#reading(async (transaction) => {
      const { checkpoint, verifierKey } = await checkpointOf(transaction);
      const { size, root } = openCheckpoint(checkpoint, parseVerifier(verifierKey));
      const end = to ?? size;
      if (from < 0n || from > end || end > size) {
        throw new MoonguardError('audit_export_invalid', `The log has leaves 0 to ${size}.`);
      }
      const tree = await VerifiedTree.open({ size, root }, copyingTiles(folder, tilesToVerify(transaction)));
      if (tree === undefined) {
        throw new MoonguardError('audit_tree_inconsistent', 'The tiles are not those of the last checkpoint.');
      }
      const leaves = exportedLeaves(storedEntries(transaction, from, end), tree, kinds);
      return writeExport(folder, { checkpoint, from, to: end, leaves });
    });
  }

  /** One look at the log, in which nothing moves. */
  #reading<T>(work: (transaction: Db) => Promise<T>): Promise<T> {
    return this.#database.transaction(async (transaction) => {
      await beginReading(transaction);
      return work(transaction);
    });
  }
}

/**
 * Compares an exported folder with what was signed, without any database.
 * @throws MoonguardError audit_export_invalid, audit_version_unknown, audit_tile_truncated, and those of a checkpoint
 */
export async function verifyExport(
  folder: string,
  { verifierKey, earlier }: VerifyOptions & { readonly verifierKey: string | readonly string[] },
): Promise<Verification> {
  const verifiers = verifiersOf(verifierKey);
  const log = await openExport(folder, verifiers);
  return verifyLog({ ...log, earlier: earlierOf(earlier, verifiers) });
}

/** {@link verifyBundle} with keys as text. @throws MoonguardError as there, and log_key_invalid */
export function verifyProof(bundle: string, verifierKey: string | readonly string[]): VerifiedBundle {
  return verifyBundle(bundle, ...verifiersOf(verifierKey));
}

/** {@link verifyGrowthProof} with keys as text; returns how many leaves the log has now. @throws MoonguardError as there, and log_key_invalid */
export function verifyGrowth(proof: string, earlier: string, verifierKey: string | readonly string[]): bigint {
  return verifyGrowthProof(proof, earlier, ...verifiersOf(verifierKey)).size;
}

async function hashesOf(transaction: Db, ranges: readonly LeafRange[], size: bigint): Promise<Uint8Array[]> {
  const tiles = await tilesToProve(transaction, tilesBehind(ranges, size));
  return new TileHashes(tiles, size).path(ranges);
}

async function checkpointOf(db: Db): Promise<SignedCheckpoint> {
  const { checkpoint, verifierKey } = await findSaidOfLog(db);
  if (checkpoint === null || verifierKey === null) {
    throw new MoonguardError('audit_checkpoint_missing', 'Nothing is signed yet.');
  }
  return { checkpoint, verifierKey };
}

function verifiersOf(keys: string | readonly string[]): Verifier[] {
  return [keys].flat().map((key) => parseVerifier(key));
}

async function keysOf(db: Db): Promise<string[]> {
  return (await listLogKeys(db)).map(({ verifierKey }) => verifierKey);
}

function earlierOf(note: string | undefined, verifiers: readonly Verifier[]): Checkpoint | undefined {
  return note === undefined ? undefined : openCheckpoint(note, ...verifiers);
}

async function* foundLeaves(entries: AsyncIterable<StoredEntry>): AsyncGenerator<FoundLeaf> {
  for await (const leaf of entries) {
    if ('removedUntil' in leaf) yield leaf;
    else if (leaf.entry === undefined) yield { index: leaf.index, hash: undefined, rowId: leaf.rowId };
    else yield { index: leaf.index, hash: leafHash(Buffer.from(leaf.entry.text)), logId: logIdOf(leaf.entry.text) };
  }
}

/** By the way, each leaf's tiles go into the folder. What is missing has no line, and is found so by whoever verifies. */
async function* exportedLeaves(
  entries: AsyncIterable<StoredEntry>,
  tree: VerifiedTree,
  kinds: readonly EntryKind[],
): AsyncGenerator<ExportedLeaf> {
  for await (const leaf of entries) {
    if ('removedUntil' in leaf) {
      for (let index = leaf.index; index < leaf.removedUntil; index += 256n) await tree.leaf(index);
      await tree.leaf(leaf.removedUntil - 1n);
      yield leaf;
      continue;
    }
    await tree.leaf(leaf.index);
    if (!kinds.includes(leaf.kind)) yield { index: leaf.index, withheld: true };
    else if (leaf.entry !== undefined) yield { index: leaf.index, ...shownEntry(leaf.entry) };
  }
}
