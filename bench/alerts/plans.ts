import { Client } from 'pg';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { connectDatabase } from '../../src/database/connect.ts';
import { transactionOf } from '../../src/database/transaction.ts';
import { callsOf, readings } from './calls.ts';
import { becomeOfficer } from './officer.ts';

/** How PostgreSQL answered each kind of call, as the owner and for a signed-in officer. */
export async function explainCalls(databaseUrl: string, n: number): Promise<string> {
  const database = await connectDatabase({ databaseUrl });
  const compliance = new ComplianceService({ database });
  const client = new Client(databaseUrl);
  await client.connect();
  const plans: string[] = [];
  client.on('notice', ({ message = '' }) =>
    plans.push(message.replace(/^duration: ([\d.]+ ms) {2}plan:\n[^]*?\n(?=\S.* {2}\(cost)/, '$1\n')),
  );
  // For a superuser; what functions run is shown as well.
  await client.query(`load 'auto_explain'; set auto_explain.log_min_duration = 0; set auto_explain.log_analyze = on; set auto_explain.log_buffers = on;
    set auto_explain.log_nested_statements = on; set auto_explain.log_level = notice`);
  for (const reading of readings) {
    for (const { name, ask } of callsOf(reading, n)) {
      for (const who of ['owner', 'officer'] as const) {
        await client.query('begin');
        const transaction = transactionOf(client);
        if (who === 'officer') await becomeOfficer(transaction);
        plans.push(`\n${reading}: ${name}, as ${who}`);
        await ask(compliance, { transaction }, 1);
        await client.query('rollback');
      }
    }
  }
  await client.end();
  await database.close();
  return plans.join('\n');
}
