import type { Db } from '../../database/database.ts';
import type { ArchiveRow, ArchiveState } from '../archive.ts';

/** By month, class and part. */
export async function listArchives(db: Db, states: readonly ArchiveState[]): Promise<ArchiveRow[]> {
  return db
    .selectFrom('moonguard.archives')
    .selectAll()
    .$narrowType<{ state: ArchiveState }>()
    .where('state', 'in', states)
    .orderBy('month')
    .orderBy('retention_class')
    .orderBy('part')
    .execute();
}

/** The archives whose files carry these names. */
export async function findArchive(db: Db, id: string): Promise<ArchiveRow | undefined> {
  return db
    .selectFrom('moonguard.archives')
    .selectAll()
    .$narrowType<{ state: ArchiveState }>()
    .where('id', '=', id)
    .executeTakeFirst();
}
