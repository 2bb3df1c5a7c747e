import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '../database/database.ts';
import type { AuditService } from './AuditService.ts';
import { openCheckpoint } from './checkpoint.ts';
import { writeTile } from './exportFolder.ts';
import { checkpointIn } from './growthProof.ts';
import { parseVerifier } from './signedNote.ts';
import { beginPublishing } from './store/beginPublishing.ts';
import { tilesIn } from './store/readTile.ts';
import { readWholeTile, TILE_WIDTH, tilePath, tilesOf } from './tiles.ts';

const CHECKPOINT = 'checkpoint';

export interface LogToPublish {
  readonly database: Database;
  readonly audit: Pick<AuditService, 'checkpoint' | 'keys' | 'proveGrowth'>;
}

/**
 * Brings a folder up to the newest checkpoint. Any web server can serve it: `checkpoint` and `tile/…` as in
 * c2sp.org/tlog-tiles, without the entries, which tell what is logged when. The checkpoint is written last, so that whoever
 * reads it finds every tile it stands for, and none of them is written again; interrupted, the next time goes on.
 * @returns how many leaves the folder has now; undefined when it had them already, or another process is at it
 * @throws MoonguardError audit_fork, audit_other_log, audit_note_invalid when the log has not grown from what the folder has,
 *   which then stays as it is; audit_checkpoint_missing
 */
export async function publishLog(folder: string, { database, audit }: LogToPublish): Promise<number | undefined> {
  const { checkpoint } = await audit.checkpoint();
  if (checkpoint === (await publishedIn(folder))) return undefined;
  // The embedded database has one process, and one session: what is read within must not wait for this transaction.
  if (database.kind === 'embedded') return publishNewest(folder, { database, audit });
  return database.transaction(async (transaction) =>
    (await beginPublishing(transaction)) ? publishNewest(folder, { database, audit }) : undefined,
  );
}

async function publishNewest(folder: string, { database, audit }: LogToPublish): Promise<number> {
  const published = await publishedIn(folder);
  const checkpoint =
    published === undefined ? (await audit.checkpoint()).checkpoint : checkpointIn(await audit.proveGrowth(published));
  const verifiers = (await audit.keys()).map(({ verifierKey }) => parseVerifier(verifierKey));
  const { size } = openCheckpoint(checkpoint, ...verifiers);
  const from = published === undefined ? 0n : openCheckpoint(published, ...verifiers).size;

  await mkdir(folder, { recursive: true });
  for (const tile of tilesOf(size, from)) {
    await writeTile(folder, tile, await readWholeTile(tilesIn(database.db), tile));
    // Whoever still asks for a part of it has to take the whole.
    if (tile.width === TILE_WIDTH) await rm(join(folder, `${tilePath(tile)}.p`), { recursive: true, force: true });
  }
  const part = join(folder, `${CHECKPOINT}.part`);
  await writeFile(part, checkpoint, { flush: true });
  await rename(part, join(folder, CHECKPOINT));
  return Number(size);
}

async function publishedIn(folder: string): Promise<string | undefined> {
  const file = join(folder, CHECKPOINT);
  return existsSync(file) ? readFile(file, 'utf8') : undefined;
}
