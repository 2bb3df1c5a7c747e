import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeWithShared, vectorsFolder } from '../../test/support/besideCheckout.ts';
import { canonicalContent } from './canonicalContent.ts';
import { openNote, parseSigner, parseVerifier, signNote } from './signedNote.ts';
import { completeSubtrees, joinSubtrees } from './subtrees.ts';
import { tilePath, tilesOf } from './tiles.ts';
import { emptyRoot, isSubtree, leafHash, nodeHash, verifyConsistency, verifyInclusion, verifySubtree } from './tree.ts';
import { appendLeaves, emptyEdge } from './treeEdge.ts';

/** Vectors that others published: transparency-dev/merkle, C2SP, Go's sumdb/note, RFC 8785. */

function vector(path: string): unknown {
  return JSON.parse(readFileSync(new URL(path, vectorsFolder), 'utf8'));
}

function vectorsIn(folder: string): { name: string; vector: unknown }[] {
  const files = readdirSync(new URL(folder, vectorsFolder), { recursive: true, encoding: 'utf8' });
  return files
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({ name, vector: vector(folder + encodeURIComponent(name).replaceAll('%2F', '/')) }));
}

const bytes = (base64: string) => Buffer.from(base64, 'base64');
const hashes = (list: readonly string[] | null) => (list ?? []).map(bytes);
const hex = (text: string) => Buffer.from(text, 'hex');

interface Inclusion {
  leafIdx: number;
  treeSize: number;
  root: string;
  leafHash: string;
  proof: string[] | null;
  wantErr: boolean;
}

type SubtreeInclusion = Omit<Inclusion, 'treeSize'> & { start: number; end: number };

interface Consistency {
  size1: number;
  size2: number;
  root1: string;
  root2: string;
  proof: string[] | null;
  wantErr: boolean;
}

type SubtreeConsistency = Omit<Consistency, 'size1' | 'size2'> & { start: number; end: number; size: number };

/**
 * Proofs that the vectors call good and we refuse: their roots are no hashes (“don't care 1”, which their verifier does
 * not look at), or they are about the empty subtree, of which there is nothing to prove.
 */
const refused = new Set([
  'consistency: additional/sizes-are-equal-one-and-proof-is-empty.json',
  'subtreeconsistency: additional/sizes-are-equal-one-and-proof-is-empty.json',
  'subtreeconsistency: additional/subtree-is-empty-sizes-are-equal-one-subtree-root-valid-proof-is-empty.json',
  'subtreeconsistency: additional/subtree-is-empty-sizes-are-equal-one-subtree-root-valid-tree-root-random-proof-is-empty.json',
  'subtreeconsistency: additional/subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-proof-is-empty.json',
  'subtreeconsistency: additional/subtree-is-empty-sizes-are-equal-zero-subtree-root-valid-tree-root-random-proof-is-empty.json',
  'subtreeconsistency: additional/subtree-is-empty-subtree-root-valid-proof-is-empty.json',
  'subtreeconsistency: additional/subtree-is-empty-subtree-root-valid-tree-root-random-proof-is-empty.json',
]);

const merkle = 'transparency-dev-merkle/testdata/';

describeWithShared('published vectors', () => {
  test.each([
    ['inclusion', 98, ({ leafIdx, treeSize, ...claim }: Inclusion) => isIncluded(leafIdx, treeSize, claim)],
    [
      'subtreeinclusion',
      204,
      ({ leafIdx, start, end, ...claim }: SubtreeInclusion) =>
        isSubtree(BigInt(start), BigInt(end)) && isIncluded(leafIdx - start, end - start, claim),
    ],
    [
      'consistency',
      98,
      ({ size1, size2, root1, root2, proof }: Consistency) =>
        verifyConsistency({
          oldSize: BigInt(size1),
          oldRoot: bytes(root1),
          size: BigInt(size2),
          root: bytes(root2),
          proof: hashes(proof),
        }),
    ],
    [
      'subtreeconsistency',
      118,
      ({ start, end, size, root1, root2, proof }: SubtreeConsistency) =>
        verifySubtree({
          start: BigInt(start),
          end: BigInt(end),
          subtreeRoot: bytes(root1),
          size: BigInt(size),
          root: bytes(root2),
          proof: hashes(proof),
        }),
    ],
  ] as [string, number, (vector: unknown) => boolean][])('%s: proofs that hold, and others', (kind, count, holds) => {
    const cases = vectorsIn(`${merkle}${kind}/`) as { name: string; vector: { wantErr: boolean } }[];
    expect(cases).toHaveLength(count);
    for (const { name, vector: given } of cases) {
      expect(holds(given), name).toBe(!given.wantErr && !refused.has(`${kind}: ${name}`));
    }
  });

  test('hashes and roots of RFC 6962', () => {
    interface Roots {
      leafInputsHex: string[];
      rootBySizeHex: string[];
      hasher: {
        emptyRoot: string;
        leafOfEmpty: string;
        leaf: { dataUtf8: string; hex: string };
        node: { leftUtf8: string; rightUtf8: string; hex: string };
      };
    }
    const { leafInputsHex, rootBySizeHex, hasher } = vector('note-and-rfc6962/rfc6962-roots.json') as Roots;
    expect(emptyRoot).toEqual(hex(hasher.emptyRoot));
    expect(leafHash(new Uint8Array())).toEqual(hex(hasher.leafOfEmpty));
    expect(leafHash(Buffer.from(hasher.leaf.dataUtf8))).toEqual(hex(hasher.leaf.hex));
    expect(nodeHash(Buffer.from(hasher.node.leftUtf8), Buffer.from(hasher.node.rightUtf8))).toEqual(
      hex(hasher.node.hex),
    );
    const leaves = leafInputsHex.map((input) => leafHash(hex(input)));
    for (const [size, root] of rootBySizeHex.entries()) {
      expect(Buffer.from(appendLeaves(emptyEdge, leaves.slice(0, size)).edge.root).toString('hex')).toBe(root);
    }
    expect(joinSubtrees([])).toEqual(emptyRoot);
    expect(completeSubtrees({ start: 0n, end: 0n })).toEqual([]);
  });

  test('signed notes and keys', () => {
    interface Notes {
      cases: { name: string; vkey: string; note: string; want: boolean }[];
      badVkeys: string[];
      testSkeyFromGoTests: string;
    }
    const { cases, badVkeys, testSkeyFromGoTests } = vector('note-and-rfc6962/signed-notes.json') as Notes;
    for (const { name, vkey, note, want } of cases) {
      const open = () => openNote(note, parseVerifier(vkey));
      if (want) expect(`${open()}\n`, name).toBe(note.slice(0, note.lastIndexOf('\n—') + 1));
      else expect(open, name).toThrow(expect.objectContaining({ code: 'audit_signature_wrong' }));
    }
    for (const key of badVkeys) {
      expect(() => parseVerifier(key)).toThrow(expect.objectContaining({ code: 'log_key_invalid' }));
    }
    const signer = parseSigner(testSkeyFromGoTests);
    const peter = cases.find(({ name }) => name === 'x/mod PeterNeumann');
    expect(signer.verifier.text).toBe(peter?.vkey);
    expect(signNote(openNote(peter?.note ?? '', signer.verifier), signer)).toBe(peter?.note);
  });

  test('how many tiles a tree has, and their paths', () => {
    interface Layout {
      cases: Record<string, number>[];
      indexPath: { n: number; path: string }[];
    }
    const { cases, indexPath } = vector('note-and-rfc6962/tile-layout.json') as Layout;
    for (const { treeSize = 0, ...layout } of cases) {
      const tiles = Array.from(tilesOf(BigInt(treeSize)));
      for (const [name, wanted] of Object.entries(layout)) {
        const level = tiles.filter((tile) => tile.level === Number(name[5]));
        const full = level.filter(({ width }) => width === 256).length;
        const partial = level.find(({ width }) => width < 256)?.width ?? 0;
        expect(name.endsWith('Full') ? full : partial, `${treeSize} ${name}`).toBe(wanted);
      }
    }
    for (const { n, path } of indexPath) {
      expect(tilePath({ level: 3, index: BigInt(n), width: 256 })).toBe(`tile/3/${path}`);
    }
  });

  test('canonical JSON, byte for byte', () => {
    const names = readdirSync(new URL('jcs-rfc8785/testdata/input', vectorsFolder));
    expect(names).toHaveLength(6);
    for (const name of names) {
      const read = (kind: string, file = name) =>
        readFileSync(new URL(`jcs-rfc8785/testdata/${kind}/${file}`, vectorsFolder), 'utf8');
      // PostgreSQL has parsed what we get, and escapes as JavaScript does. Digits of numbers stay as they are: here, doubles.
      const member: unknown = JSON.parse(read('input'));
      const content = canonicalContent(JSON.stringify({ member })).get('member') ?? '';
      expect(content, name).toBe(read('output').trimEnd());
      const outhex = read('outhex', name.replace('.json', '.txt')).replaceAll(/\s/g, '');
      expect(Buffer.from(content).toString('hex'), name).toBe(outhex);
    }
    expect(canonicalContent('{"n": [333333333.33333329, 1E30, 4.50]}').get('n')).toBe('[333333333.33333329,1E30,4.50]');
  });
});

function isIncluded(
  index: number,
  size: number,
  { root, leafHash: leaf, proof }: Pick<Inclusion, 'root' | 'leafHash' | 'proof'>,
): boolean {
  const claim = { index: BigInt(index), size: BigInt(size), leaf: bytes(leaf), root: bytes(root) };
  return verifyInclusion({ ...claim, proof: hashes(proof) });
}
