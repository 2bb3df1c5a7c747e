import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { connectDatabase } from './connect.ts';

let dataDirectory: string;
beforeEach(() => {
  dataDirectory = join(mkdtempSync(join(tmpdir(), 'moonguard-embedded-')), 'data');
});
afterEach(() => rmSync(join(dataDirectory, '..'), { recursive: true }));

test('keeps what was written, also when its process is killed, and opens again at once', async () => {
  const writer = spawn(
    process.execPath,
    [
      '--input-type=module',
      '--eval',
      `import { connectDatabase } from ${JSON.stringify(new URL('connect.ts', import.meta.url).href)};
       const database = await connectDatabase({ dataDirectory: ${JSON.stringify(dataDirectory)} });
       await database.runScript('create table public.note (id int); insert into public.note values (1)');
       console.log('written');
       setInterval(() => {}, 60_000);`,
    ],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  );
  await once(writer.stdout, 'data');
  await expect(connectDatabase({ dataDirectory })).rejects.toMatchObject({
    code: 'database_locked',
    message: expect.stringContaining(`process ${writer.pid} on`),
  });

  writer.kill('SIGKILL');
  await once(writer, 'exit');
  const database = await connectDatabase({ dataDirectory });
  expect((await sql`select id from note`.execute(database.db)).rows).toEqual([{ id: 1 }]);

  await database.close();
  const again = await connectDatabase({ dataDirectory });
  await again.close();
});

test('begins anew when the first start was killed half way', async () => {
  const unfinished = join(dataDirectory, 'database.unfinished');
  mkdirSync(unfinished, { recursive: true });
  writeFileSync(join(unfinished, 'PG_VERSION'), '18\n');

  const database = await connectDatabase({ dataDirectory });
  await sql`select 1`.execute(database.db);
  await database.close();
  expect(existsSync(unfinished)).toBe(false);
});

test('lets go of the directory when the database does not start', async () => {
  mkdirSync(join(dataDirectory, 'database'), { recursive: true });
  writeFileSync(join(dataDirectory, 'database', 'PG_VERSION'), '18\n');
  await expect(connectDatabase({ dataDirectory })).rejects.toThrow();

  rmSync(join(dataDirectory, 'database'), { recursive: true });
  const database = await connectDatabase({ dataDirectory });
  await database.close();
});
