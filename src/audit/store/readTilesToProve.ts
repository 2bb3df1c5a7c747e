import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ReadTile, SizedTile } from '../tiles.ts';

/** Tiles that are known to be needed, in one statement. Each is looked up for itself: a join might read all of the table. */
export async function tilesToProve(db: Db, tiles: readonly SizedTile[]): Promise<ReadTile> {
  const places = tiles.map(({ level, index }) => ({ level, tile_index: String(index) }));
  const { rows } = await sql<{ level: number; index: string; hashes: Buffer | null }>`
    select level, tile_index::text as index, (
      select t.hashes from moonguard.audit_tiles t where t.level = place.level and t.tile_index = place.tile_index
    ) as hashes
    from json_to_recordset(${JSON.stringify(places)}::json) as place (level integer, tile_index bigint)
  `.execute(db);
  const read = new Map(rows.map(({ level, index, hashes }) => [`${level}/${index}`, hashes ?? undefined]));
  return async ({ level, index }) => read.get(`${level}/${index}`);
}
