import { createHash } from 'node:crypto';
import type { PostgresCursor, PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type { Pool, PoolClient, QueryConfig, QueryResult } from 'pg';
import { databaseErrorReport } from './databaseError.ts';

/**
 * A statement that does nothing but call one of our functions: its plan is the same whatever the values are, and its text is
 * one of few.
 */
const CALL = /^\s*select (\* from )?moonguard\.\w+\(/;
const MOST_STATEMENTS = 500;
/**
 * What PostgreSQL answers when a connection does not have the statement that we prepared on it, has another client's under its
 * name, or has one whose function returns something else since an upgrade.
 */
const UNUSABLE = new Set(['26000', '42P05', '0A000']);

/**
 * A pool whose connections prepare the calls of our functions: PostgreSQL then parses and plans each once a connection, which
 * is a twelfth of its work for a single event. Behind a pooler in transaction mode, which hands each statement to another
 * connection, that is given up at the first sign.
 */
export function preparing(pool: Pool): PostgresPool {
  const prepared = new PreparedStatements();
  const clients = new WeakMap<PoolClient, PostgresPoolClient>();
  return {
    connect: async () => {
      const client = await pool.connect();
      const known = clients.get(client) ?? preparingClient(client, prepared);
      clients.set(client, known);
      return known;
    },
    end: () => pool.end(),
    options: pool.options,
  };
}

function preparingClient(client: PoolClient, prepared: PreparedStatements): PostgresPoolClient {
  async function run(text: string, values: unknown[]): Promise<unknown> {
    const name = prepared.nameOf(text);
    try {
      return await ask(client, { name, text, values });
    } catch (error) {
      if (name !== undefined && UNUSABLE.has(databaseErrorReport(error).code ?? '')) {
        prepared.giveUp();
        // A transaction is aborted by it.
        if (client.getTransactionStatus() === 'I') return ask(client, { text, values });
      }
      // Made where the answer was read, it would not lead to whoever asked.
      if (error instanceof Error) Error.captureStackTrace(error);
      throw error;
    }
  }

  function query<R>(text: string, parameters: readonly unknown[]): Promise<PostgresQueryResult<R>>;
  function query<R>(cursor: PostgresCursor<R>): PostgresCursor<R>;
  function query(statement: unknown, parameters: readonly unknown[] = []): unknown {
    if (typeof statement !== 'string') throw new Error('The dialect has no cursors.');
    return run(statement, [...parameters]);
  }
  return { query, release: (destroy) => client.release(destroy) };
}

/**
 * With a callback: of the promises that `pg` makes itself, each outlives a collection of the young generation, with its query
 * and result, which made these collections pauses of 3 to 9 ms.
 */
function ask(client: PoolClient, query: QueryConfig): Promise<QueryResult> {
  return new Promise((resolve, reject) => {
    client.query(query, (error, result) => (error ? reject(error) : resolve(result)));
  });
}

/** The names of the statements that are prepared: the same in every process, for a pooler's clients share connections. */
class PreparedStatements {
  readonly #names = new Map<string, string>();
  #isGivenUp = false;

  nameOf(text: string): string | undefined {
    if (this.#isGivenUp) return undefined;
    const known = this.#names.get(text);
    if (known !== undefined || this.#names.size >= MOST_STATEMENTS || !CALL.test(text)) return known;
    const name = `moonguard_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`;
    this.#names.set(text, name);
    return name;
  }

  giveUp(): void {
    this.#isGivenUp = true;
  }
}
