import { type Selectable, sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardPolicyListValues } from '../../database/schema.generated.ts';
import type { ValuePage } from '../policyList.ts';

/** In the order of their bytes; at most `limit`. */
export async function pageOfListValues(
  db: Db,
  name: string,
  { after, limit }: ValuePage,
): Promise<Selectable<MoonguardPolicyListValues>[]> {
  const inOrder = sql`value collate "C"`;
  let values = db.selectFrom('moonguard.policy_list_values').selectAll().where('list_name', '=', name);
  if (after !== undefined) values = values.where(sql<boolean>`${inOrder} > ${after}`);
  return values.orderBy(inOrder).limit(limit).execute();
}
