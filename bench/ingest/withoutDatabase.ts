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
import type { Database, Db } from '../../src/database/database.ts';
import { ENDPOINTS } from './scenario.ts';

/**
 * The database, but for one statement: the one that stores events. It is written down as for the database, thrown away, and
 * answered at once.
 */
export function withoutStoring(database: Database): Database {
  const connection: DatabaseConnection = {
    executeQuery: async <R>(query: CompiledQuery) => {
      if (!query.sql.includes('moonguard.store_events')) return database.db.executeQuery<R>(query);
      // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- R is what storeEvents reads
      return answer(query) as QueryResult<R>;
    },
    streamQuery: () => {
      throw new Error('The receiver streams nothing.');
    },
  };
  const db: Db = new Kysely({
    dialect: {
      createDriver: () => driverOf(connection),
      createAdapter: () => new PostgresAdapter(),
      createQueryCompiler: () => new PostgresQueryCompiler(),
      createIntrospector: (introspected) => new PostgresIntrospector(introspected),
    },
  });
  return { ...database, db };
}

/** What `storeEvents` reads: that each event is new and has its deliveries. */
function answer({ parameters }: CompiledQuery): QueryResult<unknown> {
  const events = String(parameters[0]).split('"dedupe_key"').length - 1;
  return { rows: [{ stored: { deliveries: Array.from({ length: events }, () => ENDPOINTS), leased: {} } }] };
}

async function doNothing(): Promise<void> {}

function driverOf(connection: DatabaseConnection): Driver {
  return {
    init: doNothing,
    acquireConnection: async () => connection,
    beginTransaction: doNothing,
    commitTransaction: doNothing,
    rollbackTransaction: doNothing,
    releaseConnection: doNothing,
    destroy: doNothing,
  };
}
