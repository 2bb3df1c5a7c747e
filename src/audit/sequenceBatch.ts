import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { signCheckpoint } from './checkpoint.ts';
import { entryOf, newSalts } from './entry.ts';
import type { Signer } from './signedNote.ts';
import { checkSigned } from './signedTree.ts';
import { advanceLog } from './store/advanceLog.ts';
import { insertLeaves } from './store/insertLeaves.ts';
import { leadLog, type SignedTree } from './store/leadLog.ts';
import { tilesIn } from './store/readTile.ts';
import { saveTiles } from './store/saveTiles.ts';
import { takeQueuedRows } from './store/takeQueuedRows.ts';
import type { ReadTile } from './tiles.ts';
import { isSame, leafHash } from './tree.ts';
import { appendLeaves, readEdge, rootOf, type TreeEdge } from './treeEdge.ts';

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
      readonly size: bigint;
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
    const signed = await leadLog(transaction, lease);
    if (signed === undefined) return { outcome: 'waiting' };
    if (signed.verifierKey !== signer.verifier.text) return { outcome: 'retired' };
    const before = await edgeOf(signed, signer, known, tilesIn(transaction));
    const { rows, waitedMs, isFull } = await takeQueuedRows(transaction, BATCH);
    const batch = { outcome: 'sequenced', leaves: rows.length, waitedMs, isFull } as const;
    if (rows.length === 0) return { ...batch, size: before.size, edge: before };

    const salts = newSalts(rows.map(({ kind }) => kind));
    const leaves = rows.map(({ row, ...names }, place) => {
      const own = salts[place] ?? Buffer.alloc(0);
      const hash = leafHash(Buffer.from(entryOf(row, own, {}, names.kind).text));
      return { ...names, salts: own, index: before.size + BigInt(place), hash };
    });
    const { edge, tiles } = appendLeaves(
      before,
      leaves.map(({ hash }) => hash),
    );
    const tree = { size: edge.size, root: rootOf(edge) };
    await insertLeaves(transaction, leaves);
    await saveTiles(transaction, tiles);
    if (!(await advanceLog(transaction, signed, { ...tree, checkpoint: signCheckpoint(tree, signer) }))) {
      throw inconsistent('The clock of the database is behind the time of the last checkpoint.');
    }
    return { ...batch, size: edge.size, edge };
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
  if (!isSame(rootOf(edge), root)) throw inconsistent('The tiles do not make the root that was signed last.');
  if (edge !== known) checkSigned(signed, signer.verifier);
  return edge;
}

function inconsistent(message: string): MoonguardError {
  return new MoonguardError('audit_tree_inconsistent', message);
}
