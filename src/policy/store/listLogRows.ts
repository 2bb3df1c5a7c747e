import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { PolicyLogRow, PolicyLogWords } from '../policyLog.ts';
import type { PolicyLogCondition } from '../policyLogFilter.ts';
import { logRows } from './logRows.ts';

export interface PolicyLogQuery {
  readonly conditions: readonly PolicyLogCondition[];
  /** Each of these words begins a word of reason or notes. */
  readonly text?: string | undefined;
  /** The last row of the page before. */
  readonly after?: Position | undefined;
  readonly limit: number;
}

/** `position` is `executed_at` with all its digits: a Date has only milliseconds. */
export type ListedPolicyLogRow = PolicyLogRow & { readonly position: string };

/** The newest first; at most `limit`. */
export async function listLogRows(db: Db, query: PolicyLogQuery): Promise<ListedPolicyLogRow[]> {
  return logRows(db, query)
    .selectAll()
    .$narrowType<PolicyLogWords>()
    .select(sql<string>`to_jsonb(executed_at) #>> '{}'`.as('position'))
    .execute();
}
