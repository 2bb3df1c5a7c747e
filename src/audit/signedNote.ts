import { createPrivateKey, createPublicKey, type KeyObject, sign, verify } from 'node:crypto';
import { MoonguardError } from '../errors.ts';
import { sha256 } from './tree.ts';

/**
 * Signed notes of c2sp.org/signed-note, and keys as Go's sumdb/note writes them:
 * `<name>+<key id>+<base64>`, with `PRIVATE+KEY+` before the signer's.
 */
const ED25519 = 0x01;
/** c2sp.org/tlog-cosignature: the key of a witness, which signs more than the text. */
const COSIGNER = 0x04;
const KEY_ID_BYTES = 4;
const SEED_BYTES = 32;
const SIGNER = 'PRIVATE+KEY+';
/** As Go's: whoever verifies reads what a stranger sent. */
const LONGEST_NOTE = 1_000_000;
const MOST_SIGNATURES = 100;
/** What PKCS #8 and SPKI write before the 32 bytes of an Ed25519 key (RFC 8410). */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex');
const SPKI = Buffer.from('302a300506032b6570032100', 'hex');

export interface Verifier {
  readonly name: string;
  /** 8 hex digits. */
  readonly keyId: string;
  readonly publicKey: KeyObject;
  /** As given to others: `<name>+<key id>+<base64>`. */
  readonly text: string;
}

export interface Signer {
  readonly verifier: Verifier;
  readonly privateKey: KeyObject;
}

/** @throws MoonguardError log_key_invalid */
export function parseVerifier(text: string): Verifier {
  return parseVerifierOf(ED25519, text);
}

/** The key of a witness. @throws MoonguardError log_key_invalid */
export function parseCosigner(text: string): Verifier {
  return parseVerifierOf(COSIGNER, text);
}

function parseVerifierOf(algorithm: number, text: string): Verifier {
  const { name, keyId, key } = parseKey(text, algorithm);
  const verifier = verifierOf(name, key, algorithm);
  if (verifier.keyId !== keyId) throw invalidKey('The key id is not that of the key.');
  return verifier;
}

/** @throws MoonguardError log_key_invalid */
export function parseSigner(text: string): Signer {
  if (!text.startsWith(SIGNER)) throw invalidKey(`A key that signs begins with ${SIGNER}.`);
  const { name, keyId, key } = parseKey(text.slice(SIGNER.length));
  const signer = signerOf(name, key);
  if (signer.verifier.keyId !== keyId) throw invalidKey('The key id is not that of the key.');
  return signer;
}

/** @param seed 32 random bytes */
export function signerText(name: string, seed: Uint8Array): string {
  const { keyId } = signerOf(name, seed).verifier;
  return `${SIGNER}${name}+${keyId}+${keyBytes(seed).toString('base64')}`;
}

/** @param text ends with a line break */
export function signNote(text: string, ...signers: readonly Signer[]): string {
  const signatures = signers.map(({ verifier, privateKey }) =>
    signatureLine(verifier, sign(null, Buffer.from(text), privateKey)),
  );
  return `${text}\n${signatures.join('')}`;
}

export function signatureLine({ name, keyId }: Pick<Verifier, 'name' | 'keyId'>, signature: Uint8Array): string {
  return `— ${name} ${Buffer.concat([Buffer.from(keyId, 'hex'), signature]).toString('base64')}\n`;
}

/**
 * The text of a note that one of the keys has signed, and none wrongly. Signatures of other keys are not looked at.
 * @throws MoonguardError audit_note_invalid, audit_signature_missing, audit_signature_wrong
 */
export function openNote(note: string, ...verifiers: readonly Verifier[]): string {
  const { text, signatures } = parseNote(note);
  let isSigned = false;
  for (const { name, keyId, bytes } of signatures) {
    const verifier = verifiers.find((known) => known.name === name && known.keyId === keyId);
    if (verifier === undefined) continue;
    if (!verify(null, Buffer.from(text), verifier.publicKey, bytes)) {
      throw new MoonguardError('audit_signature_wrong', `The signature of ${name}+${keyId} is not one of this text.`);
    }
    isSigned = true;
  }
  if (!isSigned) {
    const wanted = verifiers.map(nameOfKey).join(' or ');
    const found = signatures.map(nameOfKey).join(', ');
    throw new MoonguardError('audit_signature_missing', `${wanted} has not signed it; ${found} has.`);
  }
  return text;
}

export interface NoteSignature {
  /** As it stands in the note. */
  readonly line: string;
  readonly name: string;
  readonly keyId: string;
  readonly bytes: Buffer;
}

function nameOfKey({ name, keyId }: Pick<Verifier, 'name' | 'keyId'>): string {
  return `${name}+${keyId}`;
}

/** What a note says and who signed it, none of which is verified. @throws MoonguardError audit_note_invalid */
export function parseNote(note: string): { text: string; signatures: NoteSignature[] } {
  if (note.length > LONGEST_NOTE || !note.isWellFormed() || Array.from(note).some(isControl)) {
    throw invalidNote('It is too long or holds characters that a note may not hold.');
  }
  const end = note.lastIndexOf('\n\n');
  if (end === -1 || !note.endsWith('\n')) throw invalidNote('An empty line stands before the signatures of a note.');
  const lines = note.slice(end + 2, -1).split('\n');
  if (lines.length > MOST_SIGNATURES) throw invalidNote('It has too many signatures.');
  return { text: note.slice(0, end + 1), signatures: lines.map(parseSignature) };
}

function parseSignature(line: string): NoteSignature {
  const [dash, name = '', base64 = '', ...others] = line.split(' ');
  const bytes = Buffer.from(base64, 'base64');
  if (dash !== '—' || !isName(name) || others.length > 0 || bytes.length <= KEY_ID_BYTES || !isBase64(base64, bytes)) {
    throw invalidNote(`No signature: ${line.slice(0, 200)}`);
  }
  return { line, name, keyId: bytes.toString('hex', 0, KEY_ID_BYTES), bytes: bytes.subarray(KEY_ID_BYTES) };
}

function parseKey(text: string, algorithm = ED25519): { name: string; keyId: string; key: Uint8Array } {
  const [, name = '', keyId = '', base64 = ''] = /^([^+]*)\+([0-9a-f]{8})\+(.*)$/s.exec(text) ?? [];
  const bytes = Buffer.from(base64, 'base64');
  if (!isName(name) || !isBase64(base64, bytes)) throw invalidKey('A key reads <name>+<key id>+<base64>.');
  if (bytes[0] !== algorithm || bytes.length !== SEED_BYTES + 1) throw invalidKey('It is no Ed25519 key for this.');
  return { name, keyId, key: bytes.subarray(1) };
}

function signerOf(name: string, seed: Uint8Array): Signer {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, seed]), format: 'der', type: 'pkcs8' });
  const spki = createPublicKey(privateKey).export({ format: 'der', type: 'spki' });
  return { privateKey, verifier: verifierOf(name, spki.subarray(SPKI.length)) };
}

function verifierOf(name: string, key: Uint8Array, algorithm = ED25519): Verifier {
  if (!isName(name)) throw invalidKey('The name of a key holds no space and no plus.');
  const keyId = sha256(Buffer.from(`${name}\n`), keyBytes(key, algorithm)).toString('hex', 0, KEY_ID_BYTES);
  return {
    name,
    keyId,
    publicKey: createPublicKey({ key: Buffer.concat([SPKI, key]), format: 'der', type: 'spki' }),
    text: `${name}+${keyId}+${keyBytes(key, algorithm).toString('base64')}`,
  };
}

function keyBytes(key: Uint8Array, algorithm = ED25519): Buffer {
  return Buffer.concat([Uint8Array.of(algorithm), key]);
}

function isControl(character: string): boolean {
  return character < ' ' && character !== '\n';
}

function isName(name: string): boolean {
  return name !== '' && !/[\s+]/u.test(name) && name.isWellFormed();
}

/** Node reads past what is no base64. */
export function isBase64(text: string, bytes: Buffer): boolean {
  return text !== '' && bytes.toString('base64') === text;
}

function invalidKey(message: string): MoonguardError {
  return new MoonguardError('log_key_invalid', message);
}

function invalidNote(message: string): MoonguardError {
  return new MoonguardError('audit_note_invalid', message);
}
