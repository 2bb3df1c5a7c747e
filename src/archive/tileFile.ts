import type { SchemaElement } from 'hyparquet';
import { type ReadTile, type SizedTile, tilePath } from '../audit/tiles.ts';
import { HASH_BYTES } from '../audit/tree.ts';
import type { ColumnToWrite } from './columns.ts';
import { type ByteSink, ParquetFile, type ReadableParquet } from './parquetFile.ts';

/** 4 MiB of hashes. */
const TILES_OF_A_GROUP = 512;

const tileSchema: SchemaElement[] = [
  { name: 'tile', num_children: 3 },
  { name: 'level', type: 'INT32', repetition_type: 'REQUIRED' },
  { name: 'tile_index', type: 'INT64', repetition_type: 'REQUIRED' },
  { name: 'hashes', type: 'BYTE_ARRAY', repetition_type: 'REQUIRED' },
];

/** The tiles of the tree that prove the rows of an archive: they hold hashes, and say nothing about the rows. */
export class TileFile {
  readonly #file: ParquetFile;
  readonly #written = new Set<string>();
  #waiting: (SizedTile & { readonly hashes: Uint8Array })[] = [];

  constructor(sink: ByteSink) {
    this.#file = new ParquetFile(sink, tileSchema);
  }

  /** Reads tiles; what was read is written, once. */
  copying(read: ReadTile): ReadTile {
    return async (tile) => {
      const hashes = await read(tile);
      const path = tilePath(tile);
      if (hashes === undefined || this.#written.has(path)) return hashes;
      this.#written.add(path);
      this.#waiting.push({ ...tile, hashes: hashes.subarray(0, tile.width * HASH_BYTES) });
      if (this.#waiting.length === TILES_OF_A_GROUP) await this.#flush();
      return hashes;
    };
  }

  async finish(): Promise<void> {
    await this.#flush();
    await this.#file.finish();
  }

  async #flush(): Promise<void> {
    const tiles = this.#waiting;
    this.#waiting = [];
    await this.#file.writeGroup([
      column(
        'level',
        tiles.map(({ level }) => level),
      ),
      column(
        'tile_index',
        tiles.map(({ index }) => index),
      ),
      column(
        'hashes',
        tiles.map(({ hashes }) => hashes),
      ),
    ]);
  }
}

function column(name: string, data: ColumnToWrite['data']): ColumnToWrite {
  return { name, data, statistics: false, bloomFilter: false };
}

/** Tiles from such a file. Leaves are read in their order, so the last group is the next one, too. */
export async function tilesInFile(file: ReadableParquet): Promise<ReadTile> {
  const groups = new Map<string, { readonly group: number; readonly place: number }>();
  for (let group = 0; group < file.groups; group++) {
    const rows = await file.readGroup(group, { columns: ['level', 'tile_index'] });
    for (const [place, { level, tile_index }] of rows.entries())
      groups.set(`${String(level)}/${String(tile_index)}`, { group, place });
  }
  let last: { readonly group: number; readonly hashes: readonly unknown[] } | undefined;
  return async ({ level, index }) => {
    const found = groups.get(`${level}/${index}`);
    if (found === undefined) return undefined;
    if (last?.group !== found.group) {
      const rows = await file.readGroup(found.group, { columns: ['hashes'] });
      last = { group: found.group, hashes: rows.map(({ hashes }) => hashes) };
    }
    const hashes = last.hashes[found.place];
    return hashes instanceof Uint8Array ? hashes : undefined;
  };
}
