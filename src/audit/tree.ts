import { hash } from 'node:crypto';

/** The Merkle tree of RFC 6962, section 2.1: hashes, and what holds between a proof and a root. */

export const HASH_BYTES = 32;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);
const pair = Buffer.concat([NODE, Buffer.alloc(2 * HASH_BYTES)]);

export function sha256(...parts: readonly Uint8Array[]): Buffer {
  // As text of a byte a character: to ask for a buffer takes twice as long, and a proof is made of a thousand hashes.
  return Buffer.from(hash('sha256', Buffer.concat(parts), 'binary'), 'binary');
}

/** Root of the tree without leaves. */
export const emptyRoot = sha256();

export function leafHash(entry: Uint8Array): Buffer {
  return sha256(LEAF, entry);
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(NODE, left, right);
}

/** Root of a complete tree over hashes that lie one after the other, a power of two of them. */
export function completeRoot(hashes: Uint8Array): Uint8Array {
  const level = Buffer.from(hashes);
  for (let bytes = level.length / 2; bytes >= HASH_BYTES; bytes /= 2) {
    for (let at = 0; at < bytes; at += HASH_BYTES) {
      // In place, and without a buffer for each: a proof is made of a thousand nodes, a batch as well.
      level.copy(pair, NODE.length, 2 * at, 2 * (at + HASH_BYTES));
      level.write(hash('sha256', pair, 'binary'), at, 'binary');
    }
  }
  return level.subarray(0, HASH_BYTES);
}

/** That the leaf stands at `index` in the tree of `size` leaves with this root. RFC 9162, section 2.1.3.2. */
export interface InclusionClaim {
  readonly index: bigint;
  readonly size: bigint;
  readonly leaf: Uint8Array;
  readonly root: Uint8Array;
  /** From the leaf's sibling up. */
  readonly proof: readonly Uint8Array[];
}

export function verifyInclusion({ index, size, leaf, root, proof }: InclusionClaim): boolean {
  if (index < 0n || index >= size || ![leaf, root, ...proof].every(isHash)) return false;
  let node = index;
  let last = size - 1n;
  let computed = leaf;
  for (const sibling of proof) {
    if (last === 0n) return false;
    if (isOdd(node) || node === last) {
      computed = nodeHash(sibling, computed);
      // A node without a right sibling stands for itself some levels up.
      while (!isOdd(node) && node !== 0n) {
        node >>= 1n;
        last >>= 1n;
      }
    } else {
      computed = nodeHash(computed, sibling);
    }
    node >>= 1n;
    last >>= 1n;
  }
  return last === 0n && isSame(computed, root);
}

/** That the tree of `size` leaves begins with the leaves of that of `oldSize`. RFC 9162, section 2.1.4.2. */
export interface ConsistencyClaim {
  readonly oldSize: bigint;
  readonly oldRoot: Uint8Array;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Every tree begins with the empty one, so there is nothing to prove about it: size 0 is refused. */
export function verifyConsistency({ oldSize, oldRoot, ...claim }: ConsistencyClaim): boolean {
  return verifySubtree({ ...claim, start: 0n, end: oldSize, subtreeRoot: oldRoot });
}

/** That the leaves from `start` up to, not including, `end` have the root `subtreeRoot` in the tree of `size` leaves. */
export interface SubtreeClaim {
  readonly start: bigint;
  readonly end: bigint;
  readonly subtreeRoot: Uint8Array;
  readonly size: bigint;
  readonly root: Uint8Array;
  readonly proof: readonly Uint8Array[];
}

/** Consistency, where the smaller tree need not be the beginning: draft-ietf-plants-merkle-tree-certs, section 4.4.3. */
export function verifySubtree({ start, end, subtreeRoot, size, root, proof }: SubtreeClaim): boolean {
  if (!isSubtree(start, end) || end > size || ![subtreeRoot, root, ...proof].every(isHash)) return false;
  let at: Place = { first: start, node: end - 1n, last: size - 1n };
  // Up to the node that the proof goes up from: the subtree itself, or the last whole part of it.
  while (at.first !== at.node && (isOdd(at.node) || at.node === at.last)) at = above(at);
  const [lowest, ...rest] = at.first === at.node ? [subtreeRoot, ...proof] : proof;
  if (lowest === undefined) return false;
  let ofSubtree = lowest;
  let ofTree = lowest;
  for (const sibling of rest) {
    if (at.last === 0n) return false;
    if (isOdd(at.node) || at.node === at.last) {
      if (at.first < at.node) ofSubtree = nodeHash(sibling, ofSubtree);
      ofTree = nodeHash(sibling, ofTree);
      while (!isOdd(at.node)) at = above(at);
    } else {
      ofTree = nodeHash(ofTree, sibling);
    }
    at = above(at);
  }
  return at.last === 0n && isSame(ofSubtree, subtreeRoot) && isSame(ofTree, root);
}

/** Nodes of one level, by number: the subtree's first and last, and the tree's last. */
interface Place {
  readonly first: bigint;
  readonly node: bigint;
  readonly last: bigint;
}

function above({ first, node, last }: Place): Place {
  return { first: first >> 1n, node: node >> 1n, last: last >> 1n };
}

/** Whether leaves from `start` up to, not including, `end` stand together in every tree that has them. */
export function isSubtree(start: bigint, end: bigint): boolean {
  if (start < 0n || start >= end) return false;
  let block = 1n;
  while (block < end - start) block <<= 1n;
  return start % block === 0n;
}

export function isSame(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

function isHash(bytes: Uint8Array): boolean {
  return bytes.length === HASH_BYTES;
}

function isOdd(number: bigint): boolean {
  return (number & 1n) === 1n;
}
