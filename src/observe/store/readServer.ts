import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ServerFacts {
  /** 15 for every 15.x. */
  readonly majorVersion: number;
  readonly version: string;
  readonly currentUser: string;
  readonly database: string;
  readonly clock: Date;
}

export async function readServer(db: Db): Promise<ServerFacts> {
  const { rows } = await sql<ServerFacts>`
    select current_setting('server_version_num')::integer / 10000 as "majorVersion",
      current_setting('server_version') as version,
      current_user::text as "currentUser",
      current_database()::text as database,
      clock_timestamp() as clock
  `.execute(db);
  const [facts] = rows;
  if (facts === undefined) throw new Error('a select without from gave no row');
  return facts;
}
