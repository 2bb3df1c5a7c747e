import { type Selectable, sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardLegalHolds } from '../../database/schema.generated.ts';
import type { Position } from '../../input/page.ts';
import type { HoldFilter } from '../hold.ts';

export interface HoldQuery extends Omit<HoldFilter, 'cursor'> {
  readonly id?: string | undefined;
  /** The last one of the page before. */
  readonly after?: Position | undefined;
}

/** The newest first; at most `limit`. `position` is `set_at` with all the digits of the database. */
export async function listHolds(
  db: Db,
  { id, inForce, customerId, after, limit }: HoldQuery,
): Promise<(Selectable<MoonguardLegalHolds> & { readonly position: string })[]> {
  let holds = db
    .selectFrom('moonguard.legal_holds')
    .selectAll()
    .select(sql<string>`to_jsonb(set_at) #>> '{}'`.as('position'));
  if (id !== undefined) holds = holds.where('id', '=', id);
  if (inForce !== undefined) holds = holds.where('lifted_at', inForce ? 'is' : 'is not', null);
  if (customerId !== undefined) holds = holds.where('customer_id', '=', customerId);
  if (after !== undefined) {
    holds = holds.where(sql<boolean>`(set_at, id) < (${after.at}::timestamptz, ${after.id}::uuid)`);
  }
  return holds.orderBy('set_at', 'desc').orderBy('id', 'desc').limit(limit).execute();
}
