import type { Database } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { MoonguardError } from '../errors.ts';
import { Rounds } from '../jobs/Rounds.ts';
import type { Observe } from '../observe/observation.ts';
import { cosignaturesOf } from './cosignature.ts';
import { type ClaimedWitness, claimWitness } from './store/claimWitness.ts';
import { noteWitnessFailure } from './store/noteWitnessFailure.ts';
import { tilesIn } from './store/readTile.ts';
import { saveCosignatures } from './store/saveCosignatures.ts';
import { consistencyPath } from './subtrees.ts';
import { TileHashes } from './tiles.ts';
import { askWitness, type Witness, type WitnessAnswer } from './witness.ts';

/** How often the newest checkpoint is looked at. */
const PAUSE_MS = 1_000;

export interface WitnessKeeperOptions {
  readonly database: Database;
  readonly observe: Observe;
  readonly witnesses: readonly Witness[];
}

/**
 * Shows new checkpoints to witnesses and keeps their cosignatures. Apart from the sequencer, which waits for nobody: a witness
 * that is away is asked again later, and less and less often. Of several processes one asks at a time.
 */
export class WitnessKeeper {
  readonly #options: WitnessKeeperOptions;
  readonly #rounds = new Rounds(() => this.#showAll());

  constructor(options: WitnessKeeperOptions) {
    this.#options = options;
  }

  start(): void {
    this.#rounds.start();
  }

  /** Waits for requests under way, at most 20 s. */
  stop(): Promise<void> {
    return this.#rounds.stop();
  }

  async #showAll(): Promise<number> {
    await Promise.all(this.#options.witnesses.map((witness) => this.#show(witness)));
    return PAUSE_MS;
  }

  async #show(witness: Witness): Promise<void> {
    const { database, observe } = this.#options;
    const { name, text: verifierKey } = witness.verifier;
    try {
      const claimed = await claimWitness(database.db, verifierKey);
      if (claimed === undefined) return;
      const failure = await this.#cosign(witness, claimed);
      if (failure === undefined) observe({ type: 'audit.witnessed', witness: name, size: Number(claimed.size) });
      else {
        await noteWitnessFailure(database.db, verifierKey, failure);
        observe({ type: 'audit.witness_failed', witness: name, reason: failure });
      }
    } catch (error) {
      observe({ type: 'audit.witness_failed', witness: name, reason: databaseErrorReport(error).message });
    }
  }

  /** @returns why it did not */
  async #cosign(witness: Witness, claimed: ClaimedWitness): Promise<string | undefined> {
    // A log that was set back has nothing to prove: the witness says how far it has seen it.
    let answer = await this.#ask(witness, claimed, claimed.knownSize <= claimed.size ? claimed.knownSize : 0n);
    // It has seen more, or less, than is remembered here: c2sp.org/tlog-witness has the proof made anew from there.
    if (answer.outcome === 'other_size' && answer.size !== claimed.knownSize && answer.size <= claimed.size) {
      answer = await this.#ask(witness, claimed, answer.size);
    }
    switch (answer.outcome) {
      case 'cosigned':
        return this.#keep(witness, claimed, answer.lines);
      case 'other_size':
        return answer.size > claimed.size
          ? `It has cosigned ${answer.size} leaves; this log has ${claimed.size}: it was set back`
          : `It has cosigned another tree of ${answer.size} leaves: this log is a fork`;
      case 'refused':
        return answer.reason;
    }
  }

  async #ask(witness: Witness, { size, checkpoint }: ClaimedWitness, oldSize: bigint): Promise<WitnessAnswer> {
    const read = tilesIn(this.#options.database.db);
    const path = oldSize === 0n ? [] : await new TileHashes(read, size).path(consistencyPath(oldSize, size));
    return askWitness(witness, { oldSize, path, checkpoint });
  }

  async #keep({ verifier }: Witness, { size, checkpoint }: ClaimedWitness, lines: string): Promise<string | undefined> {
    try {
      const cosignatures = cosignaturesOf(checkpoint, lines, verifier);
      await saveCosignatures(this.#options.database.db, verifier.text, { size, checkpoint, cosignatures });
      return undefined;
    } catch (error) {
      if (error instanceof MoonguardError) return error.message;
      throw error;
    }
  }
}
