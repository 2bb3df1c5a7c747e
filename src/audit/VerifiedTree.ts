import type { Checkpoint } from './checkpoint.ts';
import {
  hashAt,
  hashWithin,
  type ReadTile,
  readWholeTile,
  type SizedTile,
  sizedTile,
  TILE_WIDTH,
  tilePath,
} from './tiles.ts';
import { isSame } from './tree.ts';
import { readEdge, type TreeEdge } from './treeEdge.ts';

/** The tiles of a signed tree, each believed only when it hashes up to the root. */
export class VerifiedTree {
  readonly size: bigint;
  readonly #edge: TreeEdge;
  readonly #read: ReadTile;
  /** Tiles that were found good. Those of level 0 are read once by whoever goes through the leaves: of them, the last. */
  readonly #verified = new Map<string, Uint8Array | undefined>();
  #lastLeaves: { readonly path: string; readonly hashes: Uint8Array | undefined } | undefined;

  private constructor(edge: TreeEdge, read: ReadTile) {
    this.size = edge.size;
    this.#edge = edge;
    this.#read = read;
  }

  /** Undefined when the tree's right edge does not make the root of the checkpoint. @throws MoonguardError audit_tile_truncated */
  static async open(
    { size, root }: Pick<Checkpoint, 'size' | 'root'>,
    read: ReadTile,
  ): Promise<VerifiedTree | undefined> {
    const edge = await readEdge(size, read);
    return isSame(edge.root, root) ? new VerifiedTree(edge, read) : undefined;
  }

  /** The hash of a leaf; undefined when the tile it stands in is not that of the signed tree. */
  async leaf(index: bigint): Promise<Uint8Array | undefined> {
    const tile = await this.#tile(0, index / BigInt(TILE_WIDTH));
    return tile === undefined ? undefined : hashAt(tile, Number(index % BigInt(TILE_WIDTH)));
  }

  async #tile(level: number, index: bigint): Promise<Uint8Array | undefined> {
    const tile = sizedTile(this.size, level, index);
    const path = tilePath(tile);
    if (this.#lastLeaves?.path === path) return this.#lastLeaves.hashes;
    if (this.#verified.has(path)) return this.#verified.get(path);
    const hashes = await this.#verifiedTile(tile);
    if (level === 0) this.#lastLeaves = { path, hashes };
    else this.#verified.set(path, hashes);
    return hashes;
  }

  async #verifiedTile(tile: SizedTile): Promise<Uint8Array | undefined> {
    // The partial tiles make the root, together.
    if (tile.width < TILE_WIDTH) return this.#edge.partial[tile.level];
    const hashes = await readWholeTile(this.#read, tile);
    const above = await this.#tile(tile.level + 1, tile.index / BigInt(TILE_WIDTH));
    const wanted = above === undefined ? undefined : hashAt(above, Number(tile.index % BigInt(TILE_WIDTH)));
    return wanted !== undefined && isSame(hashWithin(hashes, 0, TILE_WIDTH), wanted) ? hashes : undefined;
  }
}
