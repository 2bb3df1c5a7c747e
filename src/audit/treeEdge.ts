import { joinSubtrees } from './subtrees.ts';
import { hashWithin, partialTile, type ReadTile, readWholeTile, type SizedTile, TILE_WIDTH } from './tiles.ts';
import { HASH_BYTES } from './tree.ts';

/** All that is needed of a tree to append to it and to sign it. */
export interface TreeEdge {
  readonly size: bigint;
  readonly root: Uint8Array;
  /** Of every level, the tile that is not full yet. */
  readonly partial: readonly Uint8Array[];
}

export interface GrownTile extends SizedTile {
  readonly hashes: Uint8Array;
}

export const emptyEdge: TreeEdge = edgeOf(0n, []);

/** @throws MoonguardError audit_tile_truncated */
export async function readEdge(size: bigint, read: ReadTile): Promise<TreeEdge> {
  const partial: Uint8Array[] = [];
  for (let level = 0; size >> BigInt(8 * level) > 0n; level++) {
    const tile = partialTile(size, level);
    partial.push(tile === undefined ? new Uint8Array() : await readWholeTile(read, tile));
  }
  return edgeOf(size, partial);
}

/** The tree with further leaves, and the tiles that are new or longer by it. */
export function appendLeaves(
  edge: TreeEdge,
  leaves: readonly Uint8Array[],
): { readonly edge: TreeEdge; readonly tiles: GrownTile[] } {
  const tiles: GrownTile[] = [];
  const partial: Uint8Array[] = [];
  let added = leaves;
  for (let level = 0; level < edge.partial.length || added.length > 0; level++) {
    const before = edge.partial[level] ?? new Uint8Array();
    const firstIndex = edge.size >> BigInt(8 * (level + 1));
    const hashes = Buffer.concat([before, ...added]);
    const full = Math.floor(hashes.length / HASH_BYTES / TILE_WIDTH);
    const rootsOfFull: Uint8Array[] = [];
    for (let place = 0; place < full; place++) {
      const tile = hashes.subarray(place * TILE_WIDTH * HASH_BYTES, (place + 1) * TILE_WIDTH * HASH_BYTES);
      tiles.push({ level, index: firstIndex + BigInt(place), width: TILE_WIDTH, hashes: tile });
      rootsOfFull.push(hashWithin(tile, 0, TILE_WIDTH));
    }
    const rest = hashes.subarray(full * TILE_WIDTH * HASH_BYTES);
    partial.push(rest);
    if (added.length > 0 && rest.length > 0) {
      const width = rest.length / HASH_BYTES;
      tiles.push({ level, index: firstIndex + BigInt(full), width, hashes: rest });
    }
    added = rootsOfFull;
  }
  return { edge: edgeOf(edge.size + BigInt(leaves.length), partial), tiles };
}

function edgeOf(size: bigint, partial: readonly Uint8Array[]): TreeEdge {
  return { size, partial, root: joinSubtrees(partial.toReversed().flatMap(subtreesWithin)) };
}

/** The complete subtrees of a partial tile, the largest first. */
function subtreesWithin(tile: Uint8Array): Uint8Array[] {
  const subtrees: Uint8Array[] = [];
  const count = tile.length / HASH_BYTES;
  for (let width = TILE_WIDTH / 2, from = 0; width >= 1; width /= 2) {
    if ((count & width) === 0) continue;
    subtrees.push(hashWithin(tile, from, width));
    from += width;
  }
  return subtrees;
}
