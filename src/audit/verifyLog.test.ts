import { expect, test } from 'vitest';
import { leafHash } from './tree.ts';
import { appendLeaves, emptyEdge } from './treeEdge.ts';
import { type FoundLeaf, verifyLog } from './verifyLog.ts';

const hashes = Array.from({ length: 10 }, (_, n) => leafHash(Buffer.from(`entry ${n}`)));
const { edge, tiles } = appendLeaves(emptyEdge, hashes);

const found = (n: number): FoundLeaf => ({ index: BigInt(n), hash: hashes[n] ?? Buffer.alloc(32), logId: `row_${n}` });
const removed = (from: number, until: number): FoundLeaf => ({ index: BigInt(from), removedUntil: BigInt(until) });

async function* each(leaves: readonly FoundLeaf[]): AsyncGenerator<FoundLeaf> {
  yield* leaves;
}

function verify(leaves: readonly FoundLeaf[], range: { from?: bigint; to?: bigint } = {}) {
  return verifyLog({
    checkpoint: { origin: 'example.com/log', size: 10n, root: edge.root },
    read: async () => tiles[0]?.hashes,
    leaves: each(leaves),
    rowsWithoutLeaf: [],
    unrecorded: [],
    ...range,
  });
}

const all = hashes.map((_, n) => found(n));

test.each<[string, readonly FoundLeaf[], object]>([
  ['all', all, { verified: 10, findings: [] }],
  ['removed ones', [...all.slice(0, 3), removed(3, 5), ...all.slice(5)], { verified: 8, removed: 2, findings: [] }],
  ['a gap', all.toSpliced(4, 1), { verified: 9, findings: [{ kind: 'missing', index: 4 }] }],
  ['the end is missing', all.slice(0, 8), { findings: [{ index: 8 }, { index: 9 }] }],
  ['one twice', [...all.slice(0, 3), found(2), ...all.slice(3)], { findings: [{ kind: 'misplaced', index: 2 }] }],
  ['all twice', [...all, found(8), found(9)], { verified: 10, findings: [{ index: 8 }, { index: 9 }] }],
  ['one more', [...all, found(10)], { verified: 10, findings: [{ kind: 'misplaced', index: 10 }] }],
  ['removed and there', [removed(0, 3), ...all.slice(2)], { findings: [{ kind: 'misplaced', index: 2 }] }],
  ['more removed than there is', [...all.slice(0, 9), removed(9, 99)], { verified: 9, removed: 1, findings: [] }],
])('%s', async (_what, leaves, expected) => {
  expect(await verify(leaves)).toMatchObject(expected);
});

test('of a range, what is beside it is not counted', async () => {
  const range = { from: 3n, to: 6n };
  expect(await verify(all.slice(3, 6), range)).toMatchObject({ size: 10, from: 3, to: 6, verified: 3, findings: [] });
  expect(await verify(all.slice(2, 7), range)).toMatchObject({
    verified: 3,
    findings: [
      { kind: 'misplaced', index: 2 },
      { kind: 'misplaced', index: 6 },
    ],
  });
});
