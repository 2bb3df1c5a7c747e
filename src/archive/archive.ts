import type { Selectable } from 'kysely';
import type { MoonguardArchives } from '../database/schema.generated.ts';

/** Only what was read back and compared with the rows is verified. */
export const archiveStates = ['planned', 'written', 'verified'] as const;
export type ArchiveState = (typeof archiveStates)[number];

/** Rows of the policy log in files: those of a class and a month, with leaves from `fromLeaf` up to before `toLeaf`. */
export interface Archive {
  readonly id: string;
  readonly retentionClass: string;
  /** UTC, as `2026-10`. */
  readonly month: string;
  /** From 1 on; rows that came after the first part of their month are in a further one. */
  readonly part: number;
  readonly fromLeaf: number;
  readonly toLeaf: number;
  readonly state: ArchiveState;
  readonly isEncrypted: boolean;
  readonly target: string | null;
  /** Name of the file that says what there is. */
  readonly manifest: string | null;
  readonly rowCount: number | null;
  readonly bytes: number | null;
  /** When the retention of the last of its rows ends. */
  readonly retainUntil: Date | null;
  readonly writtenAt: Date | null;
  readonly verifiedAt: Date | null;
  /** Since then nobody can read it. */
  readonly keyErasedAt: Date | null;
  readonly keyErasedBy: string | null;
}

export type ArchiveRow = Omit<Selectable<MoonguardArchives>, 'state'> & { readonly state: ArchiveState };

export function decodeArchive(row: ArchiveRow): Archive {
  return {
    id: row.id,
    retentionClass: row.retention_class,
    month: row.month.slice(0, 7),
    part: row.part,
    fromLeaf: row.from_leaf,
    toLeaf: row.to_leaf,
    state: row.state,
    isEncrypted: row.is_encrypted,
    target: row.target,
    manifest: row.manifest,
    rowCount: row.row_count,
    bytes: row.bytes,
    retainUntil: row.retain_until,
    writtenAt: row.written_at,
    verifiedAt: row.verified_at,
    keyErasedAt: row.key_erased_at,
    keyErasedBy: row.key_erased_by,
  };
}
