import { once } from 'node:events';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import { parseSigner } from '../../src/audit/signedNote.ts';
import { connectDatabase } from '../../src/database/connect.ts';
import { systemRuntime } from '../../src/runtime.ts';

/** A process that sequences, from the moment it is told to until it is killed. */
const [databaseUrl = '', logKey = ''] = process.argv.slice(2);

const sequencer = new Sequencer({
  database: await connectDatabase({ databaseUrl }),
  observe: () => {},
  signer: parseSigner(logKey),
  leader: systemRuntime.newId(),
});
process.send?.('ready');
await once(process, 'message');
sequencer.start();
