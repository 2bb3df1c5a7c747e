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

export function signCheckpoint({ size, root }: Omit<Checkpoint, 'origin'>, signer: Signer): string {
  return signNote(`${signer.verifier.name}\n${size}\n${Buffer.from(root).toString('base64')}\n`, signer);
}

/**
 * The checkpoint in a note that the log's key has signed; the name of the key is that of the log.
 * @throws MoonguardError audit_note_invalid, audit_signature_missing, audit_signature_wrong, audit_other_log
 */
export function openCheckpoint(note: string, verifier: Verifier): Checkpoint {
  const [origin] = note.split('\n', 1);
  if (origin !== verifier.name) {
    throw new MoonguardError('audit_other_log', `It is a checkpoint of ${origin}, not of ${verifier.name}.`);
  }
  return parseCheckpoint(openNote(note, verifier));
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
