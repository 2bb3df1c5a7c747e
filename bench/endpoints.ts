import { sql } from 'kysely';
import type { Db } from '../src/database/database.ts';

/** An endpoint of the sandbox that is subscribed to everything; returns its id. */
export async function insertEndpoint(db: Db, url: string): Promise<string> {
  const { rows } = await sql<{ id: string }>`
    insert into public.moonpay_webhook_config (url, environment, events) values (${url}, 'sandbox', array['*']) returning id
  `.execute(db);
  const [endpoint] = rows;
  if (endpoint === undefined) throw new Error('The endpoint was not inserted.');
  return endpoint.id;
}
