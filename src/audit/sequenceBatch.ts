import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { signCheckpoint } from './checkpoint.ts';
import { entryOf, newSalts } from './entry.ts';
import type { Signer } from './signedNote.ts';
import { checkSigned } from './signedTree.ts';
import { advanceLog } from './store/advanceLog.ts';
import { leadLog, type SignedTree } from './store/leadLog.ts';
import { tilesIn } from './store/readTile.ts';
import { saveTiles } from './store/saveTiles.ts';
import { sequenceRows } from './store/sequenceRows.ts';
import type { ReadTile } from './tiles.ts';
import { isSame, leafHash } from './tree.ts';
import { appendLeaves, readEdge, type TreeEdge } from './treeEdge.ts';

/** One statement takes so many rows; larger ones gain nothing, and hold the tree longer. */
const BATCH = 1_000;

export interface SequencingDependencies {
  readonly database: Database;
  readonly signer: Signer;
  /** This process. */
  readonly leader: string;
  readonly leaseMs: number;
}

export type SequencedBatch =
  /** Another process sequences. */
  | { readonly outcome: 'waiting' }
  /** The log is signed with another key by now. */
  | { readonly outcome: 'retired' }
  | {
      readonly outcome: 'sequenced';
      readonly leaves: number;
      /** How long the oldest of them had waited. */
      readonly waitedMs: number;
      /** Whether there may be more. */
      readonly isFull: boolean;
      readonly edge: TreeEdge;
    };

/**
 * Puts queued rows into the tree and signs it, in one transaction: there is no state in which a row is in the tree and
 * not under a signature, and one whose commit fails was shown to nobody. Whoever comes next goes on from what was committed.
 * @param known the right edge after the batch before, which is read again where it does not fit
 * @throws MoonguardError audit_tree_inconsistent when the tree is not as it was signed; nothing is signed then
 */
export async function sequenceBatch(
  { database, signer, ...lease }: SequencingDependencies,
  known: TreeEdge | undefined,
): Promise<SequencedBatch> {
  return database.transaction(async (transaction) => {
    const signed = await leadLog(transaction, { ...lease, mostQueued: BATCH });
    if (signed === undefined) return { outcome: 'waiting' };
    if (signed.verifierKey !== signer.verifier.text) return { outcome: 'retired' };
    const before = await edgeOf(signed, signer, known, tilesIn(transaction));
    const { queued: count } = signed;
    const { rows, waitedMs } = await sequenceRows(transaction, { count, first: before.size, salts: newSalts(count) });
    const batch = { outcome: 'sequenced', leaves: rows.length, waitedMs, isFull: count === BATCH } as const;
    if (rows.length === 0) return { ...batch, edge: before };

    const leaves = rows.map(({ kind, row, salts }) => leafHash(Buffer.from(entryOf(row, salts, {}, kind).text)));
    const { edge, tiles } = appendLeaves(before, leaves);
    await saveTiles(transaction, tiles);
    if (!(await advanceLog(transaction, signed, { ...edge, checkpoint: signCheckpoint(edge, signer) }))) {
      throw inconsistent('The clock of the database is behind the time of the last checkpoint.');
    }
    return { ...batch, edge };
  });
}

/** What is signed next can only be consistent with what was signed last if it grows from exactly that. */
async function edgeOf(
  signed: SignedTree,
  signer: Signer,
  known: TreeEdge | undefined,
  read: ReadTile,
): Promise<TreeEdge> {
  const { size, root } = signed;
  const edge = known?.size === size ? known : await readEdge(size, read);
  if (!isSame(edge.root, root)) throw inconsistent('The tiles do not make the root that was signed last.');
  if (edge !== known) checkSigned(signed, signer.verifier);
  return edge;
}

function inconsistent(message: string): MoonguardError {
  return new MoonguardError('audit_tree_inconsistent', message);
}
