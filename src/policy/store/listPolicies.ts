import type { Db } from '../../database/database.ts';
import type { PolicyKind, PolicyRow, PolicyWords } from '../policy.ts';

export interface PolicyFilter {
  readonly type?: PolicyKind | undefined;
  readonly isActive?: boolean | undefined;
}

/** All of them, by name: a company has tens. */
export async function listPolicies(db: Db, { type, isActive }: PolicyFilter): Promise<PolicyRow[]> {
  let policies = db.selectFrom('moonpay_policies').selectAll().$narrowType<PolicyWords>();
  if (type !== undefined) policies = policies.where('type', '=', type);
  if (isActive !== undefined) policies = policies.where('is_active', '=', isActive);
  return policies.orderBy('name').orderBy('id').execute();
}
