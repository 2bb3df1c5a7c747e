import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';
import { installerSql } from '../../src/database/installer.ts';
import { readMigrationFiles } from '../../src/database/migrationFiles.ts';
import { systemRuntime } from '../../src/runtime.ts';

const folder = fileURLToPath(new URL('../../node_modules/.cache/moonguard', import.meta.url));
const pgliteManifest = fileURLToPath(new URL('../../node_modules/@electric-sql/pglite/package.json', import.meta.url));
const ONE_HOUR_MS = 3_600_000;

/** Each of some hundred tests loads the snapshot: without what no test looks at it takes 0.35 s, with it 0.6. */
const shrink = `
  set wal_recycle = off;
  update pg_database set datistemplate = false;
  drop database template0;
  drop database template1;
  select pg_switch_wal();
  checkpoint;
`;

/**
 * A file with a migrated embedded database. Building one takes 4 s, so it is kept for as long as neither the migrations
 * nor PGlite change.
 */
export async function migratedSnapshot(): Promise<string> {
  const installer = installerSql(readMigrationFiles());
  const key = createHash('sha256')
    .update(installer)
    .update(shrink)
    .update(readFileSync(pgliteManifest))
    .digest('hex')
    .slice(0, 16);
  const file = join(folder, `${key}.tar`);
  if (existsSync(file)) {
    // So that no run with other migrations takes it for an old one.
    const now = systemRuntime.now() / 1000;
    utimesSync(file, now, now);
    return file;
  }

  mkdirSync(folder, { recursive: true });
  removeOldSnapshots();
  const pglite = await PGlite.create();
  await pglite.exec(installer);
  // Each for itself: a database is not dropped inside of a transaction.
  for (const statement of shrink.trim().split('\n')) await pglite.exec(statement);
  const dump = await pglite.dumpDataDir('none');
  await pglite.close();
  const unfinished = `${file}.${process.pid}`;
  writeFileSync(unfinished, new Uint8Array(await dump.arrayBuffer()));
  renameSync(unfinished, file);
  return file;
}

/** 40 MB each. A run that is still going may use one from before the last change of a migration. */
function removeOldSnapshots(): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    if (statSync(path).mtimeMs < systemRuntime.now() - ONE_HOUR_MS) rmSync(path);
  }
}
