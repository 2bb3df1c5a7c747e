import { createHash, randomBytes } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { createSecretBox, parseMasterKey } from './secretBox.ts';

const masterKey = randomBytes(32);
const box = createSecretBox(masterKey);
const row = '019ab000-0000-7000-8000-000000000001';

describe('createSecretBox', () => {
  test('opens whatever it sealed, also in another process with the same key', () => {
    const other = createSecretBox(Buffer.from(masterKey));
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.uuid(), (text, boundTo) => {
        expect(other.open(box.seal(text, boundTo), box.keyId, boundTo)).toBe(text);
      }),
    );
  });

  test('names its key without showing it', () => {
    expect(box.keyId).toBe(createHash('sha256').update(masterKey).digest('hex').slice(0, 8));
  });

  test('seals the same text differently each time, with 28 bytes around the ciphertext', () => {
    const [first, second] = [box.seal('whsec_x', row), box.seal('whsec_x', row)];

    expect(first).not.toEqual(second);
    expect(first).toHaveLength(12 + 'whsec_x'.length + 16);
  });

  test('refuses what another master key sealed, and says which', () => {
    const other = createSecretBox(randomBytes(32));

    expect(() => box.open(other.seal('a', row), other.keyId, row)).toThrow(
      expect.objectContaining({ code: 'master_key_mismatch', message: expect.stringContaining(other.keyId) }),
    );
  });

  test('refuses bytes that were moved to another row', () => {
    expect(() => box.open(box.seal('a', row), box.keyId, `${row}0`)).toThrow(
      expect.objectContaining({ code: 'secret_unreadable' }),
    );
  });

  test('refuses bytes of which any bit was changed, or that were cut off', () => {
    const sealed = box.seal('whsec_x', row);
    fc.assert(
      fc.property(fc.nat(sealed.length * 8 - 1), (bit) => {
        const changed = Buffer.from(sealed);
        changed.writeUInt8(changed.readUInt8(bit >> 3) ^ (1 << (bit & 7)), bit >> 3);
        expect(() => box.open(changed, box.keyId, row)).toThrow(expect.objectContaining({ code: 'secret_unreadable' }));
      }),
    );
    for (let length = 0; length < sealed.length; length++) {
      expect(() => box.open(sealed.subarray(0, length), box.keyId, row)).toThrow(
        expect.objectContaining({ code: 'secret_unreadable' }),
      );
    }
  });
});

describe('parseMasterKey', () => {
  test('reads 32 bytes of base64', () => {
    expect(parseMasterKey(masterKey.toString('base64'))).toEqual(masterKey);
  });

  test.each([
    '',
    'secret',
    randomBytes(31).toString('base64'),
    randomBytes(33).toString('base64'),
    randomBytes(32).toString('hex'),
    `${Buffer.alloc(32, 1).toString('base64')}\n`,
    ` ${Buffer.alloc(32, 1).toString('base64')}`,
  ])('refuses %j without repeating it', (text) => {
    const problem = { code: 'master_key_malformed', field: 'MOONGUARD_MASTER_KEY' };
    expect(() => parseMasterKey(text)).toThrow(
      expect.objectContaining({ code: 'configuration_invalid', problems: [expect.objectContaining(problem)] }),
    );
    if (text !== '') expect(() => parseMasterKey(text)).not.toThrow(text);
  });
});
