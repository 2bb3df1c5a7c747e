import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { AlertWords } from '../alert.ts';
import type { AlertQuery, ListedAlertRow } from './listAlerts.ts';

/** The newest alerts that have a word beginning with each of these in title, description or notes. */
export async function searchAlerts(
  db: Db,
  { words, conditions, after, limit }: Omit<AlertQuery, 'order'> & { readonly words: string },
): Promise<ListedAlertRow[]> {
  const found = sql<string>`moonguard.search_alerts(${words}, ${JSON.stringify(conditions)}::jsonb,
    ${after?.at ?? null}::timestamptz, ${after?.id ?? null}::uuid, ${limit}::integer)`;
  return db
    .selectFrom('moonpay_compliance_alerts')
    .selectAll()
    .$narrowType<AlertWords>()
    .select(sql<string>`to_jsonb(triggered_at) #>> '{}'`.as('position'))
    .where('id', 'in', sql<string>`(select ${found})`)
    .orderBy('triggered_at', 'desc')
    .orderBy('id', 'desc')
    .execute();
}
