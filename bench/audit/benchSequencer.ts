import { randomUUID } from 'node:crypto';
import { newLogKey, openLogKey } from '../../src/audit/logKey.ts';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import type { Signer } from '../../src/audit/signedNote.ts';
import type { Database, Db } from '../../src/database/database.ts';
import type { Observation } from '../../src/observe/observation.ts';
import { monotonicMs } from '../clock.ts';

/** What a sequencer signed in one round. */
export interface Sequenced {
  /** In the order of their sizes. */
  readonly checkpoints: readonly { readonly size: number; readonly signedAt: number }[];
  /** Of a row in the queue, in milliseconds. */
  readonly longestWaitMs: number;
}

/** Sequences until so many rows are signed. */
export interface SequencingRound {
  /** Resolves when they are; rejects when anything is reported as failed. Nothing works any more then. */
  readonly finished: Promise<Sequenced>;
}

/** The log's key of this process, which made it: a database has one log, of one name. */
export async function openSigner(db: Db): Promise<Signer> {
  const source = { logKey: undefined, dataDirectory: undefined, mayMake: false, newName: () => '' };
  const signer = await openLogKey(db, { ...source, logKey: newLogKey('bench.invalid/policy-log') }, () => {});
  if (signer === undefined) throw new Error('There is no key of the log.');
  return signer;
}

export function startSequencer(database: Database, signer: Signer, rows: number): SequencingRound {
  const checkpoints: { size: number; signedAt: number }[] = [];
  let left = rows;
  let longestWaitMs = 0;
  const { promise: allSigned, resolve, reject } = Promise.withResolvers<void>();
  const observe = (observation: Observation): void => {
    if (observation.type === 'audit.sequence_failed') reject(new Error(`Sequencing failed: ${observation.reason}`));
    if (observation.type !== 'audit.sequenced') return;
    const { leaves, size, waitedMs } = observation;
    checkpoints.push({ size, signedAt: monotonicMs() });
    longestWaitMs = Math.max(longestWaitMs, waitedMs);
    left -= leaves;
    if (left <= 0) resolve();
  };
  const sequencer = new Sequencer({ database, observe, signer, leader: randomUUID() });
  sequencer.start();
  const finish = async (): Promise<Sequenced> => {
    try {
      await allSigned;
    } finally {
      await sequencer.stop();
    }
    if (left < 0) throw new Error(`${-left} rows more than were inserted are in the tree.`);
    return { checkpoints, longestWaitMs };
  };
  const finished = finish();
  finished.catch(() => {}); // of interest to whoever waits for it
  return { finished };
}
