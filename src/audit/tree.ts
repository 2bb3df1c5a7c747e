import { hash } from 'node:crypto';

/** The Merkle tree of RFC 6962, section 2.1: hashes, and what holds between a proof and a root. */

export const HASH_BYTES = 32;

const LEAF = Uint8Array.of(0);
const NODE = Uint8Array.of(1);

export function sha256(...parts: readonly Uint8Array[]): Buffer {
  return hash('sha256', Buffer.concat(parts), 'buffer');
}

/** Root of the tree without leaves. */
export const emptyRoot = sha256();

export function leafHash(entry: Uint8Array): Buffer {
  return sha256(LEAF, entry);
}

export function nodeHash(left: Uint8Array, right: Uint8Array): Buffer {
  return sha256(NODE, left, right);
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
export function verifyConsistency({ oldSize, oldRoot, size, root, proof }: ConsistencyClaim): boolean {
  if (oldSize <= 0n || oldSize > size || ![oldRoot, root, ...proof].every(isHash)) return false;
  if (oldSize === size) return proof.length === 0 && isSame(oldRoot, root);
  let node = oldSize - 1n;
  let last = size - 1n;
  while (isOdd(node)) {
    node >>= 1n;
    last >>= 1n;
  }
  // Where the old tree is complete, the proof goes up from its root.
  const [start, ...rest] = node === 0n ? [oldRoot, ...proof] : proof;
  if (start === undefined) return false;
  let oldComputed = start;
  let computed = start;
  for (const sibling of rest) {
    if (last === 0n) return false;
    if (isOdd(node) || node === last) {
      oldComputed = nodeHash(sibling, oldComputed);
      computed = nodeHash(sibling, computed);
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
  return last === 0n && isSame(oldComputed, oldRoot) && isSame(computed, root);
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
