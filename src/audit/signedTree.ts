import { MoonguardError } from '../errors.ts';
import { openCheckpoint } from './checkpoint.ts';
import type { Verifier } from './signedNote.ts';
import type { SignedTree } from './store/leadLog.ts';
import { isSame } from './tree.ts';

/**
 * That the tree is the one its checkpoint says.
 * @throws MoonguardError audit_tree_inconsistent, and those of openCheckpoint
 */
export function checkSigned({ size, root, checkpoint }: SignedTree, verifier: Verifier): void {
  if (checkpoint === null) return;
  const said = openCheckpoint(checkpoint, verifier);
  if (said.size !== size || !isSame(said.root, root)) {
    throw new MoonguardError('audit_tree_inconsistent', 'The last checkpoint is not of the tree that is stored.');
  }
}
