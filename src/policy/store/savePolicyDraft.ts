import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { PolicyDocument } from '../document.ts';
import type { PolicyVersionRow } from '../policyVersion.ts';

export interface SavedDocument {
  readonly document: PolicyDocument;
  readonly hash: string;
  readonly note: string | undefined;
}

/** Into the draft of the policy, or a new one. */
export async function savePolicyDraft(
  transaction: Db,
  { document, hash, note }: SavedDocument,
): Promise<PolicyVersionRow> {
  return transaction
    .insertInto('moonguard.policy_versions')
    .values({
      policy_id: document.id,
      document: sql<string>`${JSON.stringify(document)}::jsonb`,
      hash,
      note: note ?? null,
    })
    .onConflict((conflict) =>
      conflict
        .column('policy_id')
        .where('status', '=', 'draft')
        .doUpdateSet((saved) => ({
          document: saved.ref('excluded.document'),
          hash: saved.ref('excluded.hash'),
          note: saved.ref('excluded.note'),
        })),
    )
    .returningAll()
    .$castTo<PolicyVersionRow>()
    .executeTakeFirstOrThrow();
}
