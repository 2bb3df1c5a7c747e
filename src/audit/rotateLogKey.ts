import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { signCheckpoint } from './checkpoint.ts';
import { currentOf, heldKeys, type LogKeyPlace, newLogKey } from './logKey.ts';
import { readKeyFile, writeKeyFile } from './logKeyFile.ts';
import { parseSigner, type Signer } from './signedNote.ts';
import { checkSigned } from './signedTree.ts';
import { holdLog } from './store/holdLog.ts';
import { listLogKeys } from './store/listLogKeys.ts';
import { replaceLogKey } from './store/replaceLogKey.ts';

export interface KeyRotation {
  /** What the log was verified with. */
  readonly retired: string;
  readonly verifierKey: string;
  /** The checkpoint that both keys have signed; null where nothing was signed yet. */
  readonly handover: string | null;
}

/**
 * Lets another key sign from now on. Both sign one checkpoint: whoever knows the old one sees that the log goes on. The other
 * key is the second of the setting; where there is no setting it is made in the data directory, and the old one goes from there.
 * @throws MoonguardError log_key_missing, log_key_invalid, log_key_mismatch, log_key_successor_missing, audit_tree_inconsistent
 */
export async function rotateLogKey(database: Database, place: LogKeyPlace): Promise<KeyRotation> {
  const rotation = await database.transaction(async (transaction) => {
    const tree = await holdLog(transaction);
    const used = new Set((await listLogKeys(transaction)).map(({ verifierKey }) => verifierKey));
    const held = heldKeys(place);
    if (held.length === 0 || tree.verifierKey === null) {
      throw new MoonguardError('log_key_missing', 'There is no key of the log here.');
    }
    const current = currentOf(held, tree.verifierKey);
    const { name } = current.verifier;
    const successor =
      held.find(({ verifier }) => verifier.name === name && !used.has(verifier.text)) ?? makeSuccessor(place, name);
    checkSigned(tree, current.verifier);
    const handover = tree.checkpoint === null ? null : signCheckpoint(tree, current, successor);
    await replaceLogKey(transaction, successor.verifier.text, handover);
    return { retired: current.verifier.text, verifierKey: successor.verifier.text, handover };
  });
  if (place.logKey === undefined && place.dataDirectory !== undefined) {
    const kept = (readKeyFile(place.dataDirectory) ?? '')
      .split('\n')
      .filter((key) => verifies(key, rotation.verifierKey));
    writeKeyFile(place.dataDirectory, kept);
  }
  return rotation;
}

/** Kept before anything is signed with it: the next attempt finds it there. */
function makeSuccessor({ logKey, dataDirectory }: LogKeyPlace, name: string): Signer {
  if (logKey !== undefined || dataDirectory === undefined) {
    throw new MoonguardError('log_key_successor_missing', `There is one unused key of ${name} less than it takes.`);
  }
  const key = newLogKey(name);
  writeKeyFile(dataDirectory, [(readKeyFile(dataDirectory) ?? '').trim(), key]);
  return parseSigner(key);
}

function verifies(key: string, verifierKey: string): boolean {
  return key !== '' && parseSigner(key).verifier.text === verifierKey;
}
