import fc from 'fast-check';
import { expect, test } from 'vitest';
import { consistencyPath, inclusionPath } from './subtrees.ts';
import { TileHashes, tilePath, tilesOf } from './tiles.ts';
import { emptyRoot, leafHash, nodeHash, verifyConsistency, verifyInclusion } from './tree.ts';
import { appendLeaves, emptyEdge, readEdge, rootOf } from './treeEdge.ts';

/** The definitions of RFC 6962, section 2.1, word for word. */
function naiveRoot(leaves: readonly Uint8Array[]): Uint8Array {
  const [first] = leaves;
  if (first === undefined) return emptyRoot;
  if (leaves.length === 1) return first;
  const k = largestPowerBelow(leaves.length);
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)));
}

function naivePath(m: number, leaves: readonly Uint8Array[]): Uint8Array[] {
  if (leaves.length === 1) return [];
  const k = largestPowerBelow(leaves.length);
  return m < k
    ? [...naivePath(m, leaves.slice(0, k)), naiveRoot(leaves.slice(k))]
    : [...naivePath(m - k, leaves.slice(k)), naiveRoot(leaves.slice(0, k))];
}

function naiveProof(m: number, leaves: readonly Uint8Array[], isWhole = true): Uint8Array[] {
  if (m === leaves.length) return isWhole ? [] : [naiveRoot(leaves)];
  const k = largestPowerBelow(leaves.length);
  return m <= k
    ? [...naiveProof(m, leaves.slice(0, k), isWhole), naiveRoot(leaves.slice(k))]
    : [...naiveProof(m - k, leaves.slice(k), false), naiveRoot(leaves.slice(0, k))];
}

function largestPowerBelow(number: number): number {
  return 2 ** (Math.ceil(Math.log2(number)) - 1);
}

const leavesOf = (count: number) => Array.from({ length: count }, (_, n) => leafHash(Buffer.from(`leaf ${n}`)));
const all = leavesOf(1_000);

/** The tree as it grew by batches, in tiles. */
function grow(batches: readonly number[]) {
  const tiles = new Map<string, Uint8Array>();
  let edge = emptyEdge;
  for (const count of batches) {
    const grown = appendLeaves(edge, all.slice(Number(edge.size), Number(edge.size) + count));
    for (const { level, index, hashes } of grown.tiles) tiles.set(`${level}/${index}`, hashes);
    edge = grown.edge;
  }
  return {
    edge,
    tiles,
    read: async ({ level, index }: { level: number; index: bigint }) => tiles.get(`${level}/${index}`),
  };
}

const batches = fc
  .array(fc.integer({ min: 0, max: 400 }), { minLength: 1, maxLength: 6 })
  .map((counts) => counts.reduce<number[]>((taken, count) => [...taken, Math.min(count, 1_000 - sum(taken))], []));
const sum = (numbers: readonly number[]) => numbers.reduce((total, number) => total + number, 0);

test('the root is that of the naive tree, for every size to 1000', () => {
  let edge = emptyEdge;
  for (const [n, leaf] of all.entries()) {
    edge = appendLeaves(edge, [leaf]).edge;
    if (n < 300 || n % 7 === 0) expect(rootOf(edge)).toEqual(naiveRoot(all.slice(0, n + 1)));
  }
});

test('however a tree grows, its tiles, its edge and its root are the same', async () => {
  await fc.assert(
    fc.asyncProperty(batches, async (counts) => {
      const size = sum(counts);
      const { edge, tiles, read } = grow(counts);
      const atOnce = grow([size]);
      expect(edge).toEqual(atOnce.edge);
      expect(tiles).toEqual(atOnce.tiles);
      expect(await readEdge(BigInt(size), read)).toEqual(edge);
      expect(rootOf(edge)).toEqual(naiveRoot(all.slice(0, size)));
      expect(Array.from(tilesOf(BigInt(size)), ({ level, index, width }) => [`${level}/${index}`, width * 32])).toEqual(
        expect.arrayContaining(Array.from(tiles, ([place, hashes]) => [place, hashes.length])),
      );
    }),
    { numRuns: 60 },
  );
});

const place = fc.integer({ min: 1, max: 1_000 }).chain((size) => fc.tuple(fc.constant(size), fc.nat(size - 1)));

test('proofs from tiles are the naive ones and hold; with one bit changed they do not', async () => {
  const { read } = grow([1_000]);
  await fc.assert(
    fc.asyncProperty(place, fc.nat(), async ([size, index], flip) => {
      const claim = { index: BigInt(index), size: BigInt(size), leaf: leafHash(Buffer.from(`leaf ${index}`)) };
      const tree = all.slice(0, size);
      const root = naiveRoot(tree);
      const proof = await new TileHashes(read, BigInt(size)).path(inclusionPath(BigInt(index), BigInt(size)));
      expect(proof).toEqual(naivePath(index, tree));
      expect(verifyInclusion({ ...claim, root, proof })).toBe(true);
      expect(verifyInclusion({ ...claim, leaf: flipped(claim.leaf, flip), root, proof })).toBe(false);
      expect(verifyInclusion({ ...claim, root: flipped(root, flip), proof })).toBe(false);
      const flippedAt = flip % (proof.length || 1);
      const changed = proof.map((hash, at) => (at === flippedAt ? flipped(hash, flip) : hash));
      expect(verifyInclusion({ ...claim, root, proof: changed })).toBe(proof.length === 0);
      expect(verifyInclusion({ ...claim, root, proof: [...proof, root] })).toBe(false);
      expect(verifyInclusion({ ...claim, root, proof: proof.slice(1) })).toBe(proof.length === 0);

      const old = { oldSize: BigInt(index + 1), oldRoot: naiveRoot(all.slice(0, index + 1)) };
      const consistency = await new TileHashes(read, BigInt(size)).path(consistencyPath(old.oldSize, BigInt(size)));
      expect(consistency).toEqual(naiveProof(index + 1, tree));
      expect(verifyConsistency({ ...old, size: BigInt(size), root, proof: consistency })).toBe(true);
      expect(
        verifyConsistency({
          ...old,
          oldRoot: flipped(old.oldRoot, flip),
          size: BigInt(size),
          root,
          proof: consistency,
        }),
      ).toBe(false);
      expect(verifyConsistency({ ...old, size: BigInt(size), root: flipped(root, flip), proof: consistency })).toBe(
        false,
      );
    }),
    { numRuns: 100 },
  );
});

test('a tile with fewer hashes than the tree has is no tile of it', async () => {
  const { tiles } = grow([600]);
  const cut = async ({ level, index }: { level: number; index: bigint }) =>
    tiles.get(`${level}/${index}`)?.subarray(0, 31 * 32);
  await expect(new TileHashes(cut, 600n).path([{ start: 0n, end: 600n }])).rejects.toMatchObject({
    code: 'audit_tile_truncated',
  });
  await expect(readEdge(600n, cut)).rejects.toMatchObject({ code: 'audit_tile_truncated' });
});

test('paths of tiles', () => {
  expect(tilePath({ level: 0, index: 7n, width: 256 })).toBe('tile/0/007');
  expect(tilePath({ level: 1, index: 0n, width: 8 })).toBe('tile/1/000.p/8');
});

function flipped(hash: Uint8Array, bit: number): Uint8Array {
  const copy = Buffer.from(hash);
  const at = (bit >> 3) % copy.length;
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit % 8));
  return copy;
}
