import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface WrittenFacts {
  readonly target: string;
  readonly manifest: string;
  readonly rowCount: number;
  readonly bytes: number;
  readonly retainUntil: Date | null;
}

/** Whether the run still had the claim. */
export async function markArchiveWritten(
  db: Db,
  { id, runId }: { readonly id: string; readonly runId: string },
  { target, manifest, rowCount, bytes, retainUntil }: WrittenFacts,
): Promise<boolean> {
  const { rows } = await sql`
    update moonguard.archives
    set state = 'written', written_at = now(), target = ${target}, manifest = ${manifest}, row_count = ${rowCount}, bytes = ${bytes},
      retain_until = ${retainUntil}
    where id = ${id}::uuid and claimed_by = ${runId}::uuid and state <> 'verified' returning id
  `.execute(db);
  return rows.length > 0;
}

/** Whether the run still had the claim. */
export async function markArchiveVerified(
  db: Db,
  { id, runId }: { readonly id: string; readonly runId: string },
): Promise<boolean> {
  const { rows } = await sql`
    update moonguard.archives set state = 'verified', verified_at = now(), claimed_by = null, claimed_until = null
    where id = ${id}::uuid and claimed_by = ${runId}::uuid and state = 'written' returning id
  `.execute(db);
  return rows.length > 0;
}

/** Of which no row is left to archive. */
export async function deletePlannedArchive(db: Db, id: string): Promise<void> {
  await sql`delete from moonguard.archives where id = ${id}::uuid and state <> 'verified'`.execute(db);
}
