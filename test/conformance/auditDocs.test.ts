import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { parseVerifier } from '../../src/audit/signedNote.ts';

test('the checkpoint in docs/audit.md is signed with the key beside it', () => {
  const text = readFileSync(new URL('../../docs/audit.md', import.meta.url), 'utf8');
  const [, note = '', key = ''] =
    /\$ moonguard audit checkpoint\n(.*?\n\n.*?\n)\$ moonguard audit checkpoint --key\n(.*?)\n/s.exec(text) ?? [];

  expect(openCheckpoint(note, parseVerifier(key))).toMatchObject({ origin: 'example.com/policy-log', size: 308n });
});
