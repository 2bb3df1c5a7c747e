import { MoonguardError } from '../errors.ts';
import { isBase64 } from './signedNote.ts';
import { HASH_BYTES } from './tree.ts';

const HEADER = 'c2sp.org/tlog-proof@v1';

/** That a leaf is in a log, in one text that needs nothing else: c2sp.org/tlog-proof. */
export interface TlogProof {
  /** For whoever the proof is made for. */
  readonly extra: Uint8Array;
  readonly index: bigint;
  /** From the leaf's sibling up. */
  readonly path: readonly Uint8Array[];
  /** Signed. */
  readonly checkpoint: string;
}

export function formatTlogProof({ extra, index, path, checkpoint }: TlogProof): string {
  const lines = [HEADER, `extra ${toBase64(extra)}`, `index ${index}`, ...path.map(toBase64)];
  return `${lines.join('\n')}\n\n${checkpoint}`;
}

/** @throws MoonguardError audit_version_unknown, audit_proof_invalid */
export function parseTlogProof(text: string): TlogProof {
  const [head = '', ...rest] = text.split('\n\n');
  const [header = '', extra = '', index = '', ...path] = head.split('\n');
  if (header !== HEADER) {
    throw new MoonguardError(
      header.startsWith('c2sp.org/tlog-proof@') ? 'audit_version_unknown' : 'audit_proof_invalid',
      `A proof begins with ${HEADER}, not with ${header.slice(0, 100)}.`,
    );
  }
  const [, position] = /^index (0|[1-9]\d{0,18})$/.exec(index) ?? [];
  if (!extra.startsWith('extra ') || position === undefined || rest.length === 0) {
    throw invalidProof('A proof says extra, index, hashes and, after an empty line, the checkpoint.');
  }
  return {
    extra: fromBase64(extra.slice('extra '.length)),
    index: BigInt(position),
    path: path.map(parseHash),
    checkpoint: rest.join('\n\n'),
  };
}

/** @throws MoonguardError audit_proof_invalid */
export function parseHash(line: string): Buffer {
  const hash = fromBase64(line);
  if (hash.length !== HASH_BYTES) throw invalidProof(`A hash has ${HASH_BYTES} bytes, not ${hash.length}.`);
  return hash;
}

export function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function fromBase64(text: string): Buffer {
  const bytes = Buffer.from(text, 'base64');
  if (!isBase64(text, bytes)) throw invalidProof(`No base64: ${text.slice(0, 100)}`);
  return bytes;
}

function invalidProof(message: string): MoonguardError {
  return new MoonguardError('audit_proof_invalid', message);
}
