import type { Db } from '../../database/database.ts';
import type { ApprovalDecision, ApprovalRow } from '../approval.ts';

/** Who decides, and when, the database writes. Undefined: there is no such approval. */
export async function decideApproval(
  transaction: Db,
  id: string,
  { status, reason, validUntil }: ApprovalDecision & { readonly status: 'granted' | 'denied' },
): Promise<ApprovalRow | undefined> {
  return transaction
    .updateTable('moonguard.policy_approvals')
    .set({ status, reason, valid_until: validUntil ?? null })
    .where('id', '=', id)
    .returningAll()
    .executeTakeFirst();
}
