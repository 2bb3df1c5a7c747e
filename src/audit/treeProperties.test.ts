import fc from 'fast-check';
import { expect, test } from 'vitest';
import { consistencyPath, inclusionPath } from './subtrees.ts';
import { TileHashes, tilePath, tilesOf } from './tiles.ts';
import { emptyRoot, leafHash, nodeHash, verifyConsistency, verifyInclusion } from './tree.ts';
import { appendLeaves, emptyEdge, readEdge, type TreeEdge } from './treeEdge.ts';

const all = Array.from({ length: 1_000 }, (_, n) => leafHash(Buffer.from(`leaf ${n}`)));

/** The definitions of RFC 6962, section 2.1, word for word, for the leaves from one up to another. */
function naiveRoot(to: number, from = 0): Uint8Array {
  const known = roots.get(`${from} ${to}`);
  if (known !== undefined) return known;
  const [first] = all.slice(from, to);
  const k = from + largestPowerBelow(to - from);
  const root = to - from > 1 ? nodeHash(naiveRoot(k, from), naiveRoot(to, k)) : (first ?? emptyRoot);
  roots.set(`${from} ${to}`, root);
  return root;
}
const roots = new Map<string, Uint8Array>();

function naivePath(m: number, to: number, from = 0): Uint8Array[] {
  if (to - from === 1) return [];
  const k = from + largestPowerBelow(to - from);
  return m < k ? [...naivePath(m, k, from), naiveRoot(to, k)] : [...naivePath(m, to, k), naiveRoot(k, from)];
}

function naiveProof(m: number, to: number, from = 0, isWhole = true): Uint8Array[] {
  if (m === to) return isWhole ? [] : [naiveRoot(to, from)];
  const k = from + largestPowerBelow(to - from);
  return m <= k
    ? [...naiveProof(m, k, from, isWhole), naiveRoot(to, k)]
    : [...naiveProof(m, to, k, false), naiveRoot(k, from)];
}

function largestPowerBelow(number: number): number {
  return 2 ** (Math.ceil(Math.log2(number)) - 1);
}

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
    expect(edge.root).toEqual(naiveRoot(n + 1));
  }
});

test('however a tree grows, its tiles, its edge and its root are the same', async () => {
  await fc.assert(
    fc.asyncProperty(batches, async (counts) => {
      const size = sum(counts);
      const { edge, tiles, read } = grow(counts);
      const atOnce = grow([size]);
      expect(inHex(edge)).toEqual(inHex(atOnce.edge));
      expect(tiles).toEqual(atOnce.tiles);
      expect(inHex(await readEdge(BigInt(size), read))).toEqual(inHex(edge));
      expect(edge.root).toEqual(naiveRoot(size));
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
      const root = naiveRoot(size);
      const proof = await new TileHashes(read, BigInt(size)).path(inclusionPath(BigInt(index), BigInt(size)));
      expect(proof).toEqual(naivePath(index, size));
      expect(verifyInclusion({ ...claim, root, proof })).toBe(true);
      expect(verifyInclusion({ ...claim, leaf: flipped(claim.leaf, flip), root, proof })).toBe(false);
      expect(verifyInclusion({ ...claim, root: flipped(root, flip), proof })).toBe(false);
      const flippedAt = flip % (proof.length || 1);
      const changed = proof.map((hash, at) => (at === flippedAt ? flipped(hash, flip) : hash));
      expect(verifyInclusion({ ...claim, root, proof: changed })).toBe(proof.length === 0);
      expect(verifyInclusion({ ...claim, root, proof: [...proof, root] })).toBe(false);
      expect(verifyInclusion({ ...claim, root, proof: proof.slice(1) })).toBe(proof.length === 0);

      const old = { oldSize: BigInt(index + 1), oldRoot: naiveRoot(index + 1) };
      const consistency = await new TileHashes(read, BigInt(size)).path(consistencyPath(old.oldSize, BigInt(size)));
      expect(consistency).toEqual(naiveProof(index + 1, size));
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

function inHex({ size, partial }: TreeEdge): object {
  return { size, partial: partial.map((hashes) => Buffer.from(hashes).toString('hex')) };
}

function flipped(hash: Uint8Array, bit: number): Uint8Array {
  const copy = Buffer.from(hash);
  const at = (bit >> 3) % copy.length;
  copy[at] = (copy[at] ?? 0) ^ (1 << (bit % 8));
  return copy;
}
