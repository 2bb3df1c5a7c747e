import { MoonguardError } from '../errors.ts';
import { completeSubtrees, joinSubtrees, type LeafRange, type Subtree } from './subtrees.ts';
import { completeRoot, HASH_BYTES } from './tree.ts';

/**
 * Tiles of c2sp.org/tlog-tiles: the hashes of a tree in pieces of 256. Tile n of level l holds the hashes of the complete
 * subtrees of 256^l leaves from number 256 × n on.
 */
export const TILE_WIDTH = 256;
const LEVELS_OF_A_TILE = 8;

export interface SizedTile {
  readonly level: number;
  readonly index: bigint;
  /** How many hashes of it a tree has: 1 to 256. */
  readonly width: number;
}

/** The hashes of one tile, at least as many as are asked for; undefined when there is no such tile. */
export type ReadTile = (tile: SizedTile) => Promise<Uint8Array | undefined>;

/** The tile that level `level` of a tree ends with, where it ends within one. */
export function partialTile(size: bigint, level: number): SizedTile | undefined {
  const hashes = size >> BigInt(LEVELS_OF_A_TILE * level);
  const width = Number(hashes % BigInt(TILE_WIDTH));
  return width === 0 ? undefined : { level, index: hashes / BigInt(TILE_WIDTH), width };
}

/** Every tile of a tree, level by level; or those alone that its first `from` leaves do not make. */
export function* tilesOf(size: bigint, from = 0n): Generator<SizedTile> {
  for (let level = 0; size >> BigInt(LEVELS_OF_A_TILE * level) > 0n; level++) {
    const levelsBelow = BigInt(LEVELS_OF_A_TILE * (level + 1));
    for (let index = from >> levelsBelow; index < size >> levelsBelow; index++) {
      yield { level, index, width: TILE_WIDTH };
    }
    const last = partialTile(size, level);
    const known = partialTile(from, level);
    if (last !== undefined && (known?.index !== last.index || known.width !== last.width)) yield last;
  }
}

/** `tile/0/x001/x234/067.p/8` */
export function tilePath({ level, index, width }: SizedTile): string {
  const digits = index.toString();
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/\d{3}/g) ?? [];
  const name = groups.map((group, place) => (place < groups.length - 1 ? `x${group}` : group)).join('/');
  return `tile/${level}/${name}${width === TILE_WIDTH ? '' : `.p/${width}`}`;
}

/** The hash at a place of a tile. */
export function hashAt(tile: Uint8Array, place: number): Uint8Array {
  return tile.subarray(place * HASH_BYTES, (place + 1) * HASH_BYTES);
}

/** Root of the first `width` hashes of a tile, a power of two, from place `from`. */
export function hashWithin(tile: Uint8Array, from: number, width: number): Uint8Array {
  return completeRoot(tile.subarray(from * HASH_BYTES, (from + width) * HASH_BYTES));
}

/** Reads tiles for proofs in the tree of `size` leaves, each once. */
export class TileHashes {
  readonly #read: ReadTile;
  readonly #size: bigint;

  constructor(read: ReadTile, size: bigint) {
    this.#read = readingOnce(read);
    this.#size = size;
  }

  /** The hashes of ranges, as a proof lists them. One after the other: tiles may come from within a transaction. */
  async path(ranges: readonly LeafRange[]): Promise<Uint8Array[]> {
    const hashes: Uint8Array[] = [];
    for (const range of ranges) hashes.push(await this.#rangeHash(range));
    return hashes;
  }

  async #rangeHash(range: LeafRange): Promise<Uint8Array> {
    const hashes: Uint8Array[] = [];
    for (const subtree of completeSubtrees(range)) hashes.push(await this.#subtreeHash(subtree));
    return joinSubtrees(hashes);
  }

  async #subtreeHash(subtree: Subtree): Promise<Uint8Array> {
    const { tile, from, width } = placeOf(subtree, this.#size);
    return hashWithin(await readWholeTile(this.#read, tile), from, width);
  }
}

/** The tiles that the hashes of ranges come from, each once. */
export function tilesBehind(ranges: readonly LeafRange[], size: bigint): SizedTile[] {
  const tiles = ranges.flatMap(completeSubtrees).map((subtree) => placeOf(subtree, size).tile);
  return Array.from(new Map(tiles.map((tile) => [tilePath(tile), tile])).values());
}

/** A subtree is made of so many hashes of one tile. */
function placeOf({ level, index }: Subtree, size: bigint): { tile: SizedTile; from: number; width: number } {
  const within = level % LEVELS_OF_A_TILE;
  const width = 1 << within;
  const first = index * BigInt(width);
  return {
    tile: sizedTile(size, (level - within) / LEVELS_OF_A_TILE, first / BigInt(TILE_WIDTH)),
    from: Number(first % BigInt(TILE_WIDTH)),
    width,
  };
}

/** Remembers what it has read: for one proof, which takes several hashes of a tile. */
function readingOnce(read: ReadTile): ReadTile {
  const tiles = new Map<string, Promise<Uint8Array | undefined>>();
  return (tile) => {
    const path = tilePath(tile);
    const hashes = tiles.get(path) ?? read(tile);
    tiles.set(path, hashes);
    return hashes;
  };
}

/** A tile as wide as it is in the tree of `size` leaves. */
export function sizedTile(size: bigint, level: number, index: bigint): SizedTile {
  const last = partialTile(size, level);
  return { level, index, width: last?.index === index ? last.width : TILE_WIDTH };
}

/** @throws MoonguardError audit_tile_truncated */
export async function readWholeTile(read: ReadTile, tile: SizedTile): Promise<Uint8Array> {
  const hashes = await read(tile);
  const wanted = tile.width * HASH_BYTES;
  if (hashes === undefined || hashes.length < wanted) {
    throw new MoonguardError(
      'audit_tile_truncated',
      `${tilePath(tile)} has ${hashes?.length ?? 0} of ${wanted} bytes.`,
    );
  }
  return hashes.subarray(0, wanted);
}
