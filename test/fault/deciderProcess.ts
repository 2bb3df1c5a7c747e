import { type KyselyPlugin, sql } from 'kysely';
import { connectDatabase } from '../../src/database/connect.ts';
import type { Database } from '../../src/database/database.ts';
import { decideBatch } from '../../src/policy/decide.ts';
import { policyService } from '../support/policies.ts';

/**
 * Decides on what is stored, a few events at a time, until nothing is left. With a second argument the process kills itself
 * with -9 at that query, counted from 1: an odd one before it is sent, an even one while the database is at work on it.
 */
const [databaseUrl = '', killedAt] = process.argv.slice(2);

/** Small batches: a kill falls into the middle of one, and there are many. */
const BATCH = 8;

const database = await connectDatabase({ databaseUrl });
const observed = killedAt === undefined ? database : dyingAt(Number(killedAt), database);
const deciding = { ...policyService(observed).deciding, observe: () => {} };
// What another process holds may be all that is left: it is asked for again.
while (await isUndecided(database)) await decideBatch(deciding, BATCH);
await database.close();

async function isUndecided({ db }: Database): Promise<boolean> {
  const { rows } = await sql`select from moonpay_webhook_events where not processed limit 1`.execute(db);
  return rows.length > 0;
}

function dyingAt(number: number, mortal: Database): Database {
  let queries = 0;
  const plugin: KyselyPlugin = {
    transformQuery: ({ node }) => {
      queries += 1;
      if (queries === number) {
        if (number % 2 === 1) die();
        setImmediate(die);
      }
      return node;
    },
    transformResult: async ({ result }) => result,
  };
  return {
    ...mortal,
    db: mortal.db.withPlugin(plugin),
    transaction: (work, within) => mortal.transaction((begun) => work(begun.withPlugin(plugin)), within),
  };
}

function die(): void {
  process.kill(process.pid, 'SIGKILL');
}
