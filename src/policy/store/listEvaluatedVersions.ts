import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyMode } from '../inputs.ts';

export interface EvaluatedVersionRow {
  readonly id: string;
  readonly policy_id: string;
  readonly version: number;
  readonly status: PolicyMode;
  /** Not read yet. */
  readonly document: unknown;
  readonly hash: string;
}

/** The active versions of policies that are switched on, and those in shadow, in a lasting order. */
export async function listEvaluatedVersions(db: Db): Promise<EvaluatedVersionRow[]> {
  const { rows } = await sql<EvaluatedVersionRow>`
    select v.id, v.policy_id, v.version, v.status, v.document, v.hash
    from moonguard.policy_versions v
    where v.status in ('active', 'shadow')
      and not (v.status = 'active'
        and exists (select from public.moonpay_policies p where p.external_policy_id = v.policy_id and not p.is_active))
    order by v.policy_id collate "C", v.version
  `.execute(db);
  return rows;
}
