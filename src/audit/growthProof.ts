import { MoonguardError } from '../errors.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.ts';
import type { Verifier } from './signedNote.ts';
import { parseHash, toBase64 } from './tlogProof.ts';
import { verifyConsistency } from './tree.ts';

/** That a log has only grown since it had `oldSize` leaves: what c2sp.org/tlog-witness sends to a witness. */
export interface GrowthProof {
  readonly oldSize: bigint;
  readonly path: readonly Uint8Array[];
  /** Signed, of the log as it has become. */
  readonly checkpoint: string;
}

export function formatGrowthProof({ oldSize, path, checkpoint }: GrowthProof): string {
  return `${[`old ${oldSize}`, ...path.map(toBase64)].join('\n')}\n\n${checkpoint}`;
}

function parseGrowthProof(text: string): GrowthProof {
  const [head = '', ...rest] = text.split('\n\n');
  const [old = '', ...path] = head.split('\n');
  const [, oldSize] = /^old (0|[1-9]\d{0,18})$/.exec(old) ?? [];
  if (oldSize === undefined || rest.length === 0) {
    throw new MoonguardError(
      'audit_proof_invalid',
      'It says the old size, hashes and, after an empty line, the checkpoint.',
    );
  }
  return { oldSize: BigInt(oldSize), path: path.map(parseHash), checkpoint: rest.join('\n\n') };
}

/** The newer one. */
export function checkpointIn(proof: string): string {
  return parseGrowthProof(proof).checkpoint;
}

/** Whether the log of `now` begins with that of `before`. From the empty one every log has grown, and needs no proof. */
export function hasGrown(before: Checkpoint, now: Checkpoint, path: readonly Uint8Array[]): boolean {
  if (before.size === 0n) return path.length === 0;
  return verifyConsistency({ oldSize: before.size, oldRoot: before.root, size: now.size, root: now.root, proof: path });
}

/**
 * The checkpoint of a log that has only grown since an earlier one.
 * @throws MoonguardError audit_proof_invalid, and those of openCheckpoint
 */
export function verifyGrowthProof(text: string, earlier: string, ...verifiers: readonly Verifier[]): Checkpoint {
  const { oldSize, path, checkpoint } = parseGrowthProof(text);
  const before = openCheckpoint(earlier, ...verifiers);
  const now = openCheckpoint(checkpoint, ...verifiers);
  if (oldSize !== before.size || !hasGrown(before, now, path)) {
    throw new MoonguardError(
      'audit_proof_invalid',
      'It does not show that the log has grown from the earlier checkpoint.',
    );
  }
  return now;
}
