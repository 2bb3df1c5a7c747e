import type { Db } from '../../database/database.ts';
import type { ReadTile } from '../tiles.ts';

/** Tiles for whoever appends to the tree. */
export function tilesIn(db: Db): ReadTile {
  return async ({ level, index }) => {
    const tile = await db
      .selectFrom('moonguard.audit_tiles')
      .select('hashes')
      .where('level', '=', level)
      .where('tile_index', '=', Number(index))
      .executeTakeFirst();
    return tile?.hashes;
  };
}
