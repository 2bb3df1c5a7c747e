import { emptyRoot, nodeHash } from './tree.ts';

/** A complete subtree: the leaves from `index` × 2^`level`, 2^`level` of them. */
export interface Subtree {
  readonly level: number;
  readonly index: bigint;
}

/** Leaves from `start` up to, not including, `end`, whose hash stands somewhere in a tree. */
export interface LeafRange {
  readonly start: bigint;
  readonly end: bigint;
}

/** What an inclusion proof consists of, from the leaf's sibling up. RFC 6962, section 2.1.1. */
export function inclusionPath(index: bigint, size: bigint): LeafRange[] {
  const path: LeafRange[] = [];
  let [start, end] = [0n, size];
  while (end - start > 1n) {
    const middle = start + splitOf(end - start);
    if (index < middle) {
      path.unshift({ start: middle, end });
      end = middle;
    } else {
      path.unshift({ start, end: middle });
      start = middle;
    }
  }
  return path;
}

/** What a consistency proof consists of, `oldSize` at least 1. RFC 6962, section 2.1.2. */
export function consistencyPath(oldSize: bigint, size: bigint): LeafRange[] {
  const path: LeafRange[] = [];
  let [start, end] = [0n, size];
  while (end !== oldSize) {
    const middle = start + splitOf(end - start);
    if (oldSize <= middle) {
      path.unshift({ start: middle, end });
      end = middle;
    } else {
      path.unshift({ start, end: middle });
      start = middle;
    }
  }
  return start === 0n ? path : [{ start, end }, ...path];
}

/** The complete subtrees that a range of a tree consists of, from left to right: the largest first. */
export function completeSubtrees({ start, end }: LeafRange): Subtree[] {
  const subtrees: Subtree[] = [];
  for (let at = start; at < end; ) {
    const level = floorLog2(end - at);
    subtrees.push({ level, index: at >> BigInt(level) });
    at += 1n << BigInt(level);
  }
  return subtrees;
}

/** The hash over complete subtrees that stand side by side, from left to right. */
export function joinSubtrees(hashes: readonly Uint8Array[]): Uint8Array {
  return hashes.length === 0 ? emptyRoot : hashes.reduceRight((right, left) => nodeHash(left, right));
}

/** The largest power of two below `size`. */
function splitOf(size: bigint): bigint {
  return 1n << BigInt(floorLog2(size - 1n));
}

function floorLog2(number: bigint): number {
  return number.toString(2).length - 1;
}
