import type { Signer } from '../../src/audit/signedNote.ts';
import type { Database } from '../../src/database/database.ts';
import { reply } from '../childProcess.ts';
import { benchDatabase } from '../database.ts';
import { openSigner, type Sequenced, type SequencingRound, startSequencer } from './benchSequencer.ts';

/** The process behind `sequencerBeside`. */

export type SequencerCall =
  | { readonly do: 'open'; readonly databaseUrl: string }
  /** Sequences until so many rows are signed. */
  | { readonly do: 'start'; readonly rows: number }
  | { readonly do: 'finish' };

const nothing: Sequenced = { checkpoints: [], longestWaitMs: 0 };

let opened: { readonly database: Database; readonly signer: Signer } | undefined;
let round: SequencingRound | undefined;

async function answer(call: SequencerCall): Promise<Sequenced> {
  switch (call.do) {
    case 'open': {
      const database = await benchDatabase(call.databaseUrl).open();
      opened = { database, signer: await openSigner(database.db) };
      return nothing;
    }
    case 'start':
      if (opened !== undefined) round = startSequencer(opened.database, opened.signer, call.rows);
      return nothing;
    case 'finish':
      return (await round?.finished) ?? nothing;
  }
}

process.on('message', (call: SequencerCall) => void reply(answer(call)));
process.once('disconnect', () => process.exit());
