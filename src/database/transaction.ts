import {
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  type QueryResult,
} from 'kysely';
import type { ClientBase } from 'pg';
import { MoonguardError } from '../errors.ts';
import type { Db } from './database.ts';
import { pgTypes } from './parsers.ts';

/** `Database.transaction` for a root handle: begins, or joins the caller's transaction. */
export async function runTransaction<T>(
  root: Db,
  work: (transaction: Db) => Promise<T>,
  within: Db | undefined,
): Promise<T> {
  return within === undefined ? root.transaction().execute(work) : work(within);
}

/**
 * The transaction that the caller began on a `pg` client of their own, to be passed to a method's `transaction` option.
 * What the method writes commits or rolls back with it; the client stays the caller's.
 *
 * @throws MoonguardError `request_invalid` when no transaction is open on the client.
 */
export function transactionOf(client: ClientBase): Db {
  if (client.getTransactionStatus() !== 'T') {
    throw new MoonguardError('request_invalid', 'The client is not inside a transaction: send BEGIN first.');
  }
  const connection = new CallerConnection(client);
  return new Kysely({
    dialect: {
      createDriver: () => joiningDriver(connection),
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (db) => new PostgresIntrospector(db),
    },
  });
}

class CallerConnection implements DatabaseConnection {
  readonly #client: ClientBase;

  constructor(client: ClientBase) {
    this.#client = client;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const result = await this.#client.query({ text: query.sql, values: [...query.parameters], types: pgTypes });
    const rows: R[] = result.rows;
    return result.command === 'SELECT' ? { rows } : { rows, numAffectedRows: BigInt(result.rowCount ?? 0) };
  }

  streamQuery(): AsyncIterableIterator<never> {
    throw new MoonguardError('request_invalid', "A caller's transaction cannot stream.");
  }
}

function joiningDriver(connection: DatabaseConnection): Driver {
  return {
    init: doNothing,
    acquireConnection: async () => connection,
    beginTransaction: refuseToEnd,
    commitTransaction: refuseToEnd,
    rollbackTransaction: refuseToEnd,
    releaseConnection: doNothing,
    destroy: doNothing,
  };
}

async function doNothing(): Promise<void> {}

/** Begin and end belong to the caller: a COMMIT from here would end their transaction. */
async function refuseToEnd(): Promise<void> {
  throw new MoonguardError('request_invalid', 'The transaction belongs to the caller: join it, do not begin another.');
}
