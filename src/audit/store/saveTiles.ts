import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { GrownTile } from '../treeEdge.ts';

/** Writes tiles that are new, or longer than they were. */
export async function saveTiles(transaction: Db, tiles: readonly GrownTile[]): Promise<void> {
  const given = tiles.map(({ level, index, hashes }) => ({
    level,
    tile_index: String(index),
    hashes: Buffer.from(hashes).toString('hex'),
  }));
  await sql`
    insert into moonguard.audit_tiles (level, tile_index, hashes)
    select level, tile_index, decode(hashes, 'hex')
    from json_to_recordset(${JSON.stringify(given)}::json) as given (level integer, tile_index bigint, hashes text)
    on conflict (level, tile_index) do update set hashes = excluded.hashes
  `.execute(transaction);
}
