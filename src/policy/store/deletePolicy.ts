import type { Db } from '../../database/database.ts';

export async function deletePolicy(transaction: Db, id: string): Promise<void> {
  await transaction.deleteFrom('moonpay_policies').where('id', '=', id).execute();
}
