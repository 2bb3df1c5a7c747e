import type { Checkpoint } from './checkpoint.ts';
import { consistencyPath } from './subtrees.ts';
import { type ReadTile, TileHashes } from './tiles.ts';
import { isSame, verifyConsistency } from './tree.ts';
import { VerifiedTree } from './VerifiedTree.ts';

/** A leaf as it was found, in the order of the tree. */
export type FoundLeaf =
  | { readonly index: bigint; readonly hash: Uint8Array; readonly logId: string | undefined }
  /** Its row is gone, and nobody said that it went. */
  | { readonly index: bigint; readonly hash: undefined; readonly rowId: string }
  /** Retention took the rows, up to the one before `end`. */
  | { readonly index: bigint; readonly removedUntil: bigint }
  /** An export says that it does not show it. */
  | { readonly index: bigint; readonly withheld: true };

export type Finding =
  | { readonly kind: 'changed' | 'reordered'; readonly index: number; readonly logId: string | undefined }
  /** Undefined when the note of which row it was is gone as well. */
  | { readonly kind: 'missing'; readonly index: number; readonly rowId: string | undefined }
  /** Stands twice, or where there is no leaf. */
  | { readonly kind: 'misplaced'; readonly index: number }
  /** Removed or erased, from this leaf on, and no row of the log says so. */
  | { readonly kind: 'unrecorded'; readonly index: number }
  /** Never put into the tree, nor waiting to be. */
  | { readonly kind: 'added'; readonly logId: string }
  /** The hashes of the tree themselves, from this leaf on. */
  | { readonly kind: 'tree'; readonly index: number }
  /** The tiles are not those of the signed tree. */
  | { readonly kind: 'root' }
  /** The log once had more leaves than now. */
  | { readonly kind: 'shorter'; readonly size: number; readonly earlierSize: number }
  /** Somebody holds a checkpoint that this log cannot have grown from. */
  | { readonly kind: 'fork'; readonly earlierSize: number };

export interface Verification {
  /** Leaves under the checkpoint. */
  readonly size: number;
  /** The leaves that were looked at: from this one up to, not including, `to`. */
  readonly from: number;
  readonly to: number;
  /** Rows that are what was signed. */
  readonly verified: number;
  /** Rows that retention has removed. */
  readonly removed: number;
  /** Rows of an export that whoever got it may not see. */
  readonly withheld: number;
  /** The first that were found, in the order of the tree; empty: everything is as it was signed. */
  readonly findings: readonly Finding[];
}

export interface LogToVerify {
  /** Its signature is checked already. */
  readonly checkpoint: Checkpoint;
  /** Of the same log, held where whoever could change the log could not. */
  readonly earlier?: Checkpoint | undefined;
  readonly read: ReadTile;
  readonly leaves: AsyncIterable<FoundLeaf>;
  /** Which leaves there must be; default: all. */
  readonly from?: bigint | undefined;
  readonly to?: bigint | undefined;
  /** log_ids of rows without a leaf. */
  readonly rowsWithoutLeaf: readonly string[];
  /** First leaves of what was removed or erased and does not stand in the log. */
  readonly unrecorded: readonly bigint[];
}

const MOST_FINDINGS = 100;

/**
 * Compares everything that is found with what was signed.
 * @throws MoonguardError audit_tile_truncated
 */
export async function verifyLog(log: LogToVerify): Promise<Verification> {
  const { checkpoint, earlier, from = 0n, to = checkpoint.size, read, rowsWithoutLeaf, unrecorded } = log;
  const nothing = {
    size: Number(checkpoint.size),
    from: Number(from),
    to: Number(to),
    verified: 0,
    removed: 0,
    withheld: 0,
  };
  const tree = await VerifiedTree.open(checkpoint, read);
  if (tree === undefined) return { ...nothing, findings: [{ kind: 'root' }] };
  const forks = earlier === undefined ? [] : await compareWithEarlier(checkpoint, earlier, read);
  const { findings, ...counts } = await compareLeaves(tree, { leaves: log.leaves, from, to });
  const added = rowsWithoutLeaf.map((logId) => ({ kind: 'added', logId }) as const);
  const silent = unrecorded.map((index) => ({ kind: 'unrecorded', index: Number(index) }) as const);
  return { ...nothing, ...counts, findings: [...forks, ...findings, ...silent, ...added].slice(0, MOST_FINDINGS) };
}

async function compareWithEarlier(now: Checkpoint, earlier: Checkpoint, read: ReadTile): Promise<Finding[]> {
  const earlierSize = Number(earlier.size);
  if (earlier.size > now.size) return [{ kind: 'shorter', size: Number(now.size), earlierSize }];
  // Every log began with nothing.
  if (earlier.size === 0n) return [];
  const proof = await new TileHashes(read, now.size).path(consistencyPath(earlier.size, now.size));
  const claim = { oldSize: earlier.size, oldRoot: earlier.root, size: now.size, root: now.root, proof };
  return verifyConsistency(claim) ? [] : [{ kind: 'fork', earlierSize }];
}

async function compareLeaves(
  tree: VerifiedTree,
  { leaves, from, to }: { readonly leaves: AsyncIterable<FoundLeaf>; readonly from: bigint; readonly to: bigint },
): Promise<Omit<Verification, 'size' | 'from' | 'to'>> {
  const findings: Finding[] = [];
  const strangers: Stranger[] = [];
  let verified = 0;
  let removed = 0;
  let withheld = 0;
  let next = from;
  const missUntil = (end: bigint): void => {
    for (; next < end && findings.length < MOST_FINDINGS; next++) {
      findings.push({ kind: 'missing', index: Number(next), rowId: undefined });
    }
    next = end;
  };
  for await (const leaf of leaves) {
    if (findings.length >= MOST_FINDINGS) break;
    if (leaf.index < next || leaf.index >= to) {
      findings.push({ kind: 'misplaced', index: Number(leaf.index) });
      continue;
    }
    missUntil(leaf.index);
    if ('removedUntil' in leaf) {
      next = leaf.removedUntil < to ? leaf.removedUntil : to;
      removed += Number(next - leaf.index);
      continue;
    }
    next++;
    if ('withheld' in leaf) {
      withheld++;
      continue;
    }
    const index = Number(leaf.index);
    const signed = await tree.leaf(leaf.index);
    if (signed === undefined) findings.push({ kind: 'tree', index });
    else if (leaf.hash === undefined) findings.push({ kind: 'missing', index, rowId: leaf.rowId });
    else if (isSame(leaf.hash, signed)) verified++;
    else {
      strangers.push({ found: key(leaf.hash), signed: key(signed), finding: findings.length });
      findings.push({ kind: 'changed', index, logId: leaf.logId });
    }
  }
  missUntil(to);
  return { verified, removed, withheld, findings: withReordered(findings, strangers) };
}

interface Stranger {
  readonly found: string;
  readonly signed: string;
  readonly finding: number;
}

/** A row that is not what was signed at its place, but what was signed at another's, was moved, not changed. */
function withReordered(findings: readonly Finding[], strangers: readonly Stranger[]): Finding[] {
  const signedElsewhere = new Set(strangers.map(({ signed }) => signed));
  const moved = new Set(strangers.filter(({ found }) => signedElsewhere.has(found)).map(({ finding }) => finding));
  return findings.map((finding, place) =>
    finding.kind === 'changed' && moved.has(place) ? { ...finding, kind: 'reordered' } : finding,
  );
}

function key(hash: Uint8Array): string {
  return Buffer.from(hash).toString('base64');
}
