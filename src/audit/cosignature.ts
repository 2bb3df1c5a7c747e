import { verify } from 'node:crypto';
import { MoonguardError } from '../errors.ts';
import { parseNote, type Verifier } from './signedNote.ts';

const SIGNATURE_BYTES = 64;
const TIME_BYTES = 8;

/**
 * The lines with which a witness says that it saw the log grow into this checkpoint: cosignature/v1 of c2sp.org/tlog-cosignature.
 * Lines of others are left out.
 * @param checkpoint as the log signed it
 * @param answer of the witness: signature lines
 * @throws MoonguardError audit_note_invalid, audit_signature_missing, audit_signature_wrong
 */
export function cosignaturesOf(checkpoint: string, answer: string, witness: Verifier): string {
  const { text, signatures } = parseNote(`${checkpoint}${answer}`);
  const own = signatures.filter(({ name, keyId }) => name === witness.name && keyId === witness.keyId);
  if (own.length === 0) throw new MoonguardError('audit_signature_missing', `${witness.name} has not signed it.`);
  for (const { bytes } of own) {
    const isTimed = bytes.length === TIME_BYTES + SIGNATURE_BYTES;
    const message = isTimed ? cosignedText(text, bytes.readBigUInt64BE()) : undefined;
    if (message === undefined || !verify(null, message, witness.publicKey, bytes.subarray(TIME_BYTES))) {
      throw new MoonguardError(
        'audit_signature_wrong',
        `The signature of ${witness.name} is not one of this checkpoint.`,
      );
    }
  }
  return own.map(({ line }) => `${line}\n`).join('');
}

/** What a witness signs. @param time in seconds since 1970 */
export function cosignedText(text: string, time: bigint): Buffer {
  return Buffer.from(`cosignature/v1\ntime ${time}\n${text}`);
}
