import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AuditService } from './AuditService.ts';
import { openCheckpoint } from './checkpoint.ts';
import { writeTile } from './exportFolder.ts';
import { checkpointIn } from './growthProof.ts';
import { parseVerifier } from './signedNote.ts';
import { type ReadTile, readWholeTile, TILE_WIDTH, tilePath, tilesOf } from './tiles.ts';

const CHECKPOINT = 'checkpoint';

export interface LogToPublish {
  readonly audit: Pick<AuditService, 'checkpoint' | 'keys' | 'proveGrowth'>;
  readonly read: ReadTile;
}

/**
 * Brings a folder up to the newest checkpoint. Any web server can serve it: `checkpoint` and `tile/…` as in
 * c2sp.org/tlog-tiles, without the entries, which tell what is logged when. The checkpoint is written last, so that whoever
 * reads it finds every tile it stands for; interrupted, the next time goes on.
 * @returns how many leaves the folder has now; undefined when it had them already
 * @throws MoonguardError audit_fork, audit_other_log, audit_note_invalid when the log has not grown from what the folder has,
 *   which then stays as it is; audit_checkpoint_missing
 */
export async function publishLog(folder: string, { audit, read }: LogToPublish): Promise<number | undefined> {
  const published = await publishedIn(folder);
  const { checkpoint: newest } = await audit.checkpoint();
  if (newest === published) return undefined;
  const checkpoint = published === undefined ? newest : checkpointIn(await audit.proveGrowth(published));
  const verifiers = (await audit.keys()).map(({ verifierKey }) => parseVerifier(verifierKey));
  const { size } = openCheckpoint(checkpoint, ...verifiers);
  const from = published === undefined ? 0n : openCheckpoint(published, ...verifiers).size;

  await mkdir(folder, { recursive: true });
  for (const tile of tilesOf(size, from)) {
    await writeTile(folder, tile, await readWholeTile(read, tile));
    // Whoever still asks for a part of it has to take the whole.
    if (tile.width === TILE_WIDTH) await rm(join(folder, `${tilePath(tile)}.p`), { recursive: true, force: true });
  }
  const part = join(folder, `checkpoint.${process.pid}.part`);
  await writeFile(part, checkpoint, { flush: true });
  // Another process that shares the folder may have come further meanwhile.
  if ((await publishedIn(folder)) === published) await rename(part, join(folder, CHECKPOINT));
  else await rm(part);
  return Number(size);
}

async function publishedIn(folder: string): Promise<string | undefined> {
  const file = join(folder, CHECKPOINT);
  return existsSync(file) ? readFile(file, 'utf8') : undefined;
}
