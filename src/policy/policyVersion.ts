import type { Selectable } from 'kysely';
import type { MoonguardPolicyVersions } from '../database/schema.generated.ts';
import type { PolicyDocument } from './document.ts';

/** shadow: evaluated and logged without effect. Of each but retired a policy has at most one. */
export const versionStatuses = ['draft', 'shadow', 'active', 'retired'] as const;
export type VersionStatus = (typeof versionStatuses)[number];

/** A version of a policy. Its document changes only while it is a draft. */
export interface PolicyVersion {
  readonly id: string;
  readonly policyId: string;
  /** Counts from 1 for each policy. */
  readonly version: number;
  readonly status: VersionStatus;
  /** As it was saved: by these methods always valid, by SQL not necessarily. */
  readonly document: PolicyDocument;
  /** SHA-256 of the document with sorted keys. */
  readonly hash: string;
  /** Why it was saved or moved. */
  readonly note: string | null;
  /** Who saved it last. */
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly publishedBy: string | null;
  readonly publishedAt: Date | null;
  /** The version that it took the place of when it was put into shadow or made active. */
  readonly replaces: number | null;
  readonly retiredAt: Date | null;
}

/** Columns whose type the table's checks narrow, for a query's `$castTo`. */
export type PolicyVersionRow = Omit<Selectable<MoonguardPolicyVersions>, 'status' | 'document'> & {
  readonly status: VersionStatus;
  readonly document: PolicyDocument;
};

/** The row as the rest of the program sees it. */
export function decodePolicyVersion(row: PolicyVersionRow): PolicyVersion {
  return {
    id: row.id,
    policyId: row.policy_id,
    version: row.version,
    status: row.status,
    document: row.document,
    hash: row.hash,
    note: row.note,
    createdBy: row.created_by,
    createdAt: row.created_at,
    publishedBy: row.published_by,
    publishedAt: row.published_at,
    replaces: row.replaces,
    retiredAt: row.retired_at,
  };
}
