import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyChange, PolicyRow, PolicyWords } from '../policy.ts';

export async function updatePolicy(
  transaction: Db,
  id: string,
  change: PolicyChange & { readonly isActive?: boolean },
): Promise<PolicyRow> {
  return transaction
    .updateTable('moonpay_policies')
    .set({
      updated_at: sql<Date>`now()`,
      ...(change.name !== undefined && { name: change.name }),
      ...(change.type !== undefined && { type: change.type }),
      ...(change.rules !== undefined && { rules: sql<string>`${JSON.stringify(change.rules)}::jsonb` }),
      ...(change.isActive !== undefined && { is_active: change.isActive }),
    })
    .where('id', '=', id)
    .returningAll()
    .$narrowType<PolicyWords>()
    .executeTakeFirstOrThrow();
}
