import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ReadTile, SizedTile } from '../tiles.ts';

/** Tiles that are known to be needed, read in one statement. */
export async function tilesToProve(db: Db, tiles: readonly SizedTile[]): Promise<ReadTile> {
  const places = tiles.map(({ level, index }) => ({ level, tile_index: String(index) }));
  const { rows } = await sql<{ level: number; index: string; hashes: Buffer }>`
    select level, tile_index::text as index, hashes from moonguard.audit_tiles
    join json_to_recordset(${JSON.stringify(places)}::json) as place (level integer, tile_index bigint) using (level, tile_index)
  `.execute(db);
  const read = new Map(rows.map(({ level, index, hashes }) => [`${level}/${index}`, hashes]));
  return async ({ level, index }) => read.get(`${level}/${index}`);
}
