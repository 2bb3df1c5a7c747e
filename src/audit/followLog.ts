import type { AuditService } from './AuditService.ts';
import { openCheckpoint } from './checkpoint.ts';
import { checkpointIn, verifyGrowthProof } from './growthProof.ts';
import type { Verifier } from './signedNote.ts';

export interface FollowedCheckpoint {
  readonly size: number;
  /** The signed note. */
  readonly checkpoint: string;
  /** Leaves of the one before, out of which it has grown; undefined for the first. */
  readonly grownFrom: number | undefined;
}

export interface FollowOptions {
  readonly verifiers: readonly Verifier[];
  /** A signed checkpoint of this log from earlier; default: the one that is there. */
  readonly since: string | undefined;
  /** Waits until it is time to look again; false ends it. */
  readonly wait: () => Promise<boolean>;
}

/**
 * Every checkpoint that is seen, each proven to have grown out of the one before.
 * @throws MoonguardError audit_fork or audit_proof_invalid where it has not, and those of a checkpoint
 */
export async function* followLog(
  audit: Pick<AuditService, 'checkpoint' | 'proveGrowth'>,
  { verifiers, since, wait }: FollowOptions,
): AsyncGenerator<FollowedCheckpoint> {
  let last = since;
  do {
    const next = last === undefined ? (await audit.checkpoint()).checkpoint : await grown(audit, last, verifiers);
    if (next === last) continue;
    yield { size: sizeOf(next), checkpoint: next, grownFrom: last === undefined ? undefined : sizeOf(last) };
    last = next;
  } while (await wait());

  function sizeOf(checkpoint: string): number {
    return Number(openCheckpoint(checkpoint, ...verifiers).size);
  }
}

/** The newest checkpoint, proven to have grown out of an earlier one. */
async function grown(
  audit: Pick<AuditService, 'proveGrowth'>,
  earlier: string,
  verifiers: readonly Verifier[],
): Promise<string> {
  const proof = await audit.proveGrowth(earlier);
  verifyGrowthProof(proof, earlier, ...verifiers);
  return checkpointIn(proof);
}
