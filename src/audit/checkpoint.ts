import { MoonguardError } from '../errors.ts';
import { isBase64, openNote, type Signer, signNote, type Verifier } from './signedNote.ts';
import { HASH_BYTES } from './tree.ts';

/** What a log says about itself: c2sp.org/tlog-checkpoint. */
export interface Checkpoint {
  /** Name of the log. */
  readonly origin: string;
  readonly size: bigint;
  readonly root: Uint8Array;
}

/** @param signers further ones have the same name: keys of one log that take turns */
export function signCheckpoint(
  { size, root }: Omit<Checkpoint, 'origin'>,
  signer: Signer,
  ...signers: readonly Signer[]
): string {
  const text = `${signer.verifier.name}\n${size}\n${Buffer.from(root).toString('base64')}\n`;
  return signNote(text, signer, ...signers);
}

/**
 * The checkpoint in a note that a key of the log has signed; the name of its keys is that of the log.
 * @throws MoonguardError audit_note_invalid, audit_signature_missing, audit_signature_wrong, audit_other_log
 */
export function openCheckpoint(note: string, ...verifiers: readonly Verifier[]): Checkpoint {
  const [origin] = note.split('\n', 1);
  if (!verifiers.some(({ name }) => name === origin)) {
    const names = Array.from(new Set(verifiers.map(({ name }) => name))).join(' or ');
    throw new MoonguardError('audit_other_log', `It is a checkpoint of ${origin}, not of ${names}.`);
  }
  return parseCheckpoint(openNote(note, ...verifiers.filter(({ name }) => name === origin)));
}

function parseCheckpoint(text: string): Checkpoint {
  // Further lines are extensions, which say nothing about the tree.
  const [origin = '', size = '', base64 = ''] = text.split('\n');
  const root = Buffer.from(base64, 'base64');
  if (!/^(0|[1-9]\d{0,18})$/.test(size) || root.length !== HASH_BYTES || !isBase64(base64, root)) {
    throw new MoonguardError('audit_note_invalid', 'A checkpoint says origin, number of leaves and root.');
  }
  return { origin, size: BigInt(size), root };
}
