import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeWithShared, vectorsFolder } from '../../test/support/besideCheckout.ts';
import { canonicalContent } from './canonicalContent.ts';
import { openNote, parseSigner, parseVerifier, signNote } from './signedNote.ts';
import { completeSubtrees, joinSubtrees } from './subtrees.ts';
import { tilePath, tilesOf } from './tiles.ts';
import { emptyRoot, leafHash, nodeHash, verifyConsistency, verifyInclusion } from './tree.ts';
import { appendLeaves, emptyEdge, rootOf } from './treeEdge.ts';

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
  treeSize?: number;
  start?: number;
  end?: number;
  root: string;
  leafHash: string;
  proof: string[] | null;
  wantErr: boolean;
}

interface Consistency {
  size1: number;
  size2: number;
  root1: string;
  root2: string;
  proof: string[] | null;
  wantErr: boolean;
}

const merkle = 'transparency-dev-merkle/testdata/';

describeWithShared('published vectors', () => {
  test('inclusion in a tree, proofs that hold and others', () => {
    const cases = vectorsIn(`${merkle}inclusion/`) as { name: string; vector: Inclusion }[];
    expect(cases.length).toBeGreaterThan(90);
    for (const {
      name,
      vector: { leafIdx, treeSize = 0, root, leafHash: leaf, proof, wantErr },
    } of cases) {
      const claim = { index: BigInt(leafIdx), size: BigInt(treeSize), leaf: bytes(leaf), root: bytes(root) };
      expect(verifyInclusion({ ...claim, proof: hashes(proof) }), name).toBe(!wantErr);
    }
  });

  test('inclusion in a subtree is inclusion in a tree of its own', () => {
    const cases = vectorsIn(`${merkle}subtreeinclusion/`) as { name: string; vector: Inclusion }[];
    expect(cases.length).toBe(204);
    for (const {
      name,
      vector: { leafIdx, start = 0, end = 0, root, leafHash: leaf, proof, wantErr },
    } of cases) {
      if (!isSubtree(start, end)) continue;
      const claim = { index: BigInt(leafIdx - start), size: BigInt(end - start), leaf: bytes(leaf), root: bytes(root) };
      expect(verifyInclusion({ ...claim, proof: hashes(proof) }), name).toBe(!wantErr);
    }
  });

  test('consistency of two trees, proofs that hold and others', () => {
    const cases = vectorsIn(`${merkle}consistency/`) as { name: string; vector: Consistency }[];
    expect(cases.length).toBeGreaterThan(90);
    for (const {
      name,
      vector: { size1, size2, root1, root2, proof, wantErr },
    } of cases) {
      // The one with roots that are no hashes, and two about the empty tree, which we refuse by name.
      const isRefused = bytes(root1).length !== 32 || size1 === 0;
      const claim = { oldSize: BigInt(size1), size: BigInt(size2), oldRoot: bytes(root1), root: bytes(root2) };
      expect(verifyConsistency({ ...claim, proof: hashes(proof) }), name).toBe(!wantErr && !isRefused);
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
      expect(Buffer.from(rootOf(appendLeaves(emptyEdge, leaves.slice(0, size)).edge)).toString('hex')).toBe(root);
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

  test('canonical JSON, but for the digits of numbers', () => {
    for (const name of ['arrays', 'french', 'structures', 'unicode', 'weird']) {
      const read = (kind: string) =>
        readFileSync(new URL(`jcs-rfc8785/testdata/${kind}/${name}.json`, vectorsFolder), 'utf8');
      const content = canonicalContent(`{"member": ${read('input')}}`).get('member');
      expect(content, name).toBe(read('output').trimEnd().replace(':56,', ':56.0,'));
    }
  });
});

/** Only aligned ranges of leaves are subtrees. */
function isSubtree(start: number, end: number): boolean {
  const width = end - start;
  return width > 0 && start % 2 ** Math.ceil(Math.log2(width)) === 0;
}
