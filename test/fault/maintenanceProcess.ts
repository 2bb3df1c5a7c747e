import { once } from 'node:events';
import { ArchiveService } from '../../src/archive/ArchiveService.ts';
import { AuditService } from '../../src/audit/AuditService.ts';
import { connectDatabase } from '../../src/database/connect.ts';
import { RetentionService } from '../../src/retention/RetentionService.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createSecretBox } from '../../src/secrets/secretBox.ts';

/** A process that removes what is past or, where it is told a directory, archives; from the moment it is told to until it is killed. */
const [databaseUrl = '', directory] = process.argv.slice(2);

const database = await connectDatabase({ databaseUrl });
const runtime = systemRuntime;
process.send?.('ready');
await once(process, 'message');
if (directory === undefined) await new RetentionService({ database, runtime, settings: {} }).run();
else {
  const audit = new AuditService({ database });
  const secretBox = createSecretBox(Buffer.alloc(32));
  await new ArchiveService({ database, runtime, secretBox, audit, settings: { target: directory } }).run();
}
// Nobody has killed it.
process.disconnect();
await database.close();
