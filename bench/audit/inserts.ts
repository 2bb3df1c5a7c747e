import { Client } from 'pg';
import type { PolicyExecutionInput } from '../../src/policy/policyLogInput.ts';
import type { BenchDatabase } from '../database.ts';
import { countRows, executionsOf } from '../policy-log/rows.ts';
import { startProcessorClock } from '../processorTime.ts';
import type { Variant } from '../rounds.ts';
import { dropAuditTrigger, insertRow } from './rows.ts';
import { openSequencerBeside } from './sequencerBeside.ts';

interface Crowd {
  readonly clients: number;
  /** Of N, that they insert in a round. */
  readonly part: number;
  /** sequenced: while a sequencer works, in a process of its own; queued: while none does; plain: a table that has never heard of the audit log. */
  readonly log: 'sequenced' | 'queued' | 'plain';
}

/** Rows a second that so many clients insert, each the next one when its last one is committed. */
export function inserts(name: string, { clients: count, part, log }: Crowd): Variant {
  return {
    name,
    open: async (benchDatabase) => {
      const { db } = await benchDatabase.open();
      if (log === 'plain') await dropAuditTrigger(db);
      const sequencer = log === 'sequenced' ? await openSequencerBeside(benchDatabase) : undefined;
      const clients = await connect(benchDatabase, count);
      return async (n) => {
        const rows = executionsOf(Math.ceil(n * part));
        const before = await countRows(db);
        await sequencer?.start(rows.length);
        const processorTime = startProcessorClock(benchDatabase.server?.databaseName);
        const startedAt = performance.now();
        await insertAll(clients, rows);
        const seconds = (performance.now() - startedAt) / 1000;
        const measurement = { figure: rows.length / seconds, processorTime: processorTime(rows.length) };
        const inserted = (await countRows(db)) - before;
        if (inserted !== rows.length) throw new Error(`${inserted} of ${rows.length} rows are in the log.`);
        const signed = await sequencer?.finish();
        return signed === undefined ? measurement : { ...measurement, also: { longestWaitMs: signed.longestWaitMs } };
      };
    },
  };
}

export async function connect({ server }: BenchDatabase, count: number): Promise<Client[]> {
  if (server === undefined) throw new Error('Clients connect to PostgreSQL only.');
  const clients = Array.from({ length: count }, () => new Client(server.url));
  await Promise.all(clients.map((client) => client.connect()));
  return clients;
}

async function insertAll(clients: readonly Client[], rows: readonly PolicyExecutionInput[]): Promise<void> {
  const waiting = rows.values();
  await Promise.all(
    clients.map(async (client) => {
      for (const row of waiting) await insertRow(client, row);
    }),
  );
}
