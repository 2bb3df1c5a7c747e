import type { Checkpoint } from './checkpoint.ts';
import { consistencyPath } from './subtrees.ts';
import { type ReadTile, TileHashes } from './tiles.ts';
import { isSame, verifyConsistency } from './tree.ts';
import { VerifiedTree } from './VerifiedTree.ts';

/** A leaf as it was found, in the order of the tree. */
export type FoundLeaf =
  | { readonly index: bigint; readonly hash: Uint8Array; readonly logId: string | undefined }
  /** Its row is gone, and nobody said that it went. */
  | { readonly index: bigint; readonly hash: undefined; readonly logId: string | undefined }
  /** Retention took the rows, up to the one before `end`. */
  | { readonly index: bigint; readonly removedUntil: bigint };

export type Finding =
  | { readonly kind: 'changed' | 'missing' | 'reordered'; readonly index: number; readonly logId: string | undefined }
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
  /** Rows that are what was signed. */
  readonly verified: number;
  /** Rows that retention has removed. */
  readonly removed: number;
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
  readonly from?: bigint;
  readonly to?: bigint;
  /** log_ids of rows without a leaf. */
  readonly rowsWithoutLeaf: readonly string[];
}

const MOST_FINDINGS = 100;

/**
 * Compares everything that is found with what was signed.
 * @throws MoonguardError audit_tile_truncated
 */
export async function verifyLog(log: LogToVerify): Promise<Verification> {
  const { checkpoint, earlier, read, rowsWithoutLeaf } = log;
  const nothing = { size: Number(checkpoint.size), verified: 0, removed: 0 };
  const tree = await VerifiedTree.open(checkpoint, read);
  const forks = earlier === undefined ? [] : await compareWithEarlier(checkpoint, earlier, read);
  if (tree === undefined) return { ...nothing, findings: [...forks, { kind: 'root' }] };
  const { findings, ...counts } = await compareLeaves(tree, log);
  const added = rowsWithoutLeaf.map((logId) => ({ kind: 'added', logId }) as const);
  return { ...nothing, ...counts, findings: [...forks, ...findings, ...added].slice(0, MOST_FINDINGS) };
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
  { leaves, from = 0n, to = tree.size }: LogToVerify,
): Promise<{ verified: number; removed: number; findings: Finding[] }> {
  const findings: Finding[] = [];
  const strangers: Stranger[] = [];
  let verified = 0;
  let removed = 0;
  let next = from;
  const missUntil = (end: bigint): void => {
    for (; next < end && findings.length < MOST_FINDINGS; next++) {
      findings.push({ kind: 'missing', index: Number(next), logId: undefined });
    }
    next = end;
  };
  for await (const leaf of leaves) {
    if (leaf.index >= to || findings.length >= MOST_FINDINGS) break;
    missUntil(leaf.index);
    if ('removedUntil' in leaf) {
      next = leaf.removedUntil < to ? leaf.removedUntil : to;
      removed += Number(next - leaf.index);
      continue;
    }
    next++;
    const { hash, logId } = leaf;
    const index = Number(leaf.index);
    const signed = await tree.leaf(leaf.index);
    if (signed === undefined) findings.push({ kind: 'tree', index });
    else if (hash === undefined) findings.push({ kind: 'missing', index, logId });
    else if (isSame(hash, signed)) verified++;
    else {
      strangers.push({ found: key(hash), signed: key(signed), finding: findings.length });
      findings.push({ kind: 'changed', index, logId });
    }
  }
  missUntil(to);
  return { verified, removed, findings: withReordered(findings, strangers) };
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
