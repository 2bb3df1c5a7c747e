import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import { type ReadTile, type SizedTile, tilePath } from '../tiles.ts';

/** Tiles that are known to be needed, read in one statement. */
export async function tilesToProve(db: Db, tiles: readonly SizedTile[]): Promise<ReadTile> {
  const given = tiles.map(({ level, index }, place) => ({ level, tile_index: String(index), place }));
  const { rows } = await sql<{ place: number; hashes: Buffer }>`
    select place, hashes from moonguard.audit_tiles
    join json_to_recordset(${JSON.stringify(given)}::json) as given (level integer, tile_index bigint, place integer) using (level, tile_index)
  `.execute(db);
  const hashesByPath = new Map(rows.map(({ place, hashes }) => [tilePath(tiles[place]), hashes]));
  return async (tile) => hashesByPath.get(tilePath(tile));
}
