import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { ReadTile } from '../tiles.ts';

/** Tiles for whoever verifies: shared with whoever writes them, a mistake would hide itself. */
export function tilesToVerify(db: Db): ReadTile {
  return async ({ level, index }) => {
    const { rows } = await sql<{ hashes: Buffer }>`
      select hashes from moonguard.audit_tiles where level = ${level} and tile_index = ${String(index)}
    `.execute(db);
    return rows[0]?.hashes;
  };
}
