import fc from 'fast-check';
import { expect, test } from 'vitest';
import { MoonguardError } from '../errors.ts';
import { formatBundle, verifyBundle } from './bundle.ts';
import { signCheckpoint } from './checkpoint.ts';
import { entryOf, newSalts } from './entry.ts';
import { newLogKey } from './logKey.ts';
import { parseSigner } from './signedNote.ts';
import { inclusionPath } from './subtrees.ts';
import { TileHashes } from './tiles.ts';
import { leafHash } from './tree.ts';
import { appendLeaves, emptyEdge } from './treeEdge.ts';

const signer = parseSigner(newLogKey('example.com/policy-log'));

/** The proof of row 5 of 11. */
async function bundleOfRow5(): Promise<string> {
  const rows = Array.from({ length: 11 }, (_, n) =>
    JSON.stringify({
      log_id: `log_${n}`,
      policy_id: 'kyc_policy_001',
      action_type: 'rule_triggered',
      executed_at: `2026-11-01T00:00:${10 + n}+00:00`,
      customer_id: `customer_${n}`,
      reason: 'salts and content stand side by side',
    }),
  );
  const entries = rows.map((row) => entryOf(row, newSalts(1)));
  const { edge, tiles } = appendLeaves(
    emptyEdge,
    entries.map(({ text }) => leafHash(Buffer.from(text))),
  );
  const path = await new TileHashes(async () => tiles[0]?.hashes, 11n).path(inclusionPath(5n, 11n));
  const [entry] = entries.slice(5);
  if (entry === undefined) throw new Error('there is no row 5');
  return formatBundle(entry, {
    index: 5n,
    path,
    checkpoint: signCheckpoint({ size: 11n, root: edge.root }, signer),
  });
}

test('whatever is changed in a proof, it is refused by name, or says what it said', async () => {
  const bundle = await bundleOfRow5();
  const said = verifyBundle(bundle, signer.verifier);
  expect(said.entry.groups.get('subject')?.content).toBe('{"customer_id":"customer_5"}');
  const lines = bundle.split('\n');
  const edit = fc.oneof(
    fc
      .tuple(fc.nat(bundle.length - 1), fc.nat(2), fc.constantFrom('', ' ', '\n', '0', 'A', 'z', '=', '+', '\0', 'ä'))
      .map(([at, removed, put]) => bundle.slice(0, at) + put + bundle.slice(at + removed)),
    fc.tuple(fc.nat(lines.length - 1), fc.nat(lines.length - 1)).map(([from, to]) => {
      const line = lines[from] ?? '';
      return lines.toSpliced(to, 1, line).join('\n');
    }),
  );
  fc.assert(
    fc.property(edit, (changed) => {
      try {
        expect(verifyBundle(changed, signer.verifier)).toEqual(said);
      } catch (error) {
        expect(error).toBeInstanceOf(MoonguardError);
        expect(error).toMatchObject({
          code: expect.stringMatching(/^audit_(note|signature|other|version|entry|proof)_/),
        });
      }
    }),
    { numRuns: 1_000 },
  );
});

test('what is shown cannot be moved from the content into the salt', async () => {
  const bundle = await bundleOfRow5();
  const [, extra = ''] = /^extra (.*)$/m.exec(bundle) ?? [];
  const shown = JSON.parse(Buffer.from(extra, 'base64').toString());
  const { salt, content } = shown.groups.words;
  const longer = Buffer.concat([Buffer.from(salt, 'base64'), Buffer.from(content.slice(0, 10))]);
  shown.groups.words = { salt: longer.toString('base64'), content: content.slice(10) };
  const changed = bundle.replace(extra, Buffer.from(JSON.stringify(shown)).toString('base64'));
  expect(() => verifyBundle(changed, signer.verifier)).toThrow(
    expect.objectContaining({ code: 'audit_proof_invalid' }),
  );
});
