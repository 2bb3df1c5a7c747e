import { spawnSync } from 'node:child_process';
import { Client } from 'pg';
import { expect, test } from 'vitest';

test.each([
  ['stops it', 'await server.stop()'],
  ['forgets it', 'process.exit()'],
])(
  'a process that starts PostgreSQL and %s ends with its own exit code, and the server ends with it',
  async (_, ending) => {
    const script = `
    import { startPostgres } from ${JSON.stringify(new URL('postgresServer.ts', import.meta.url).href)};
    const server = await startPostgres();
    console.log(server.url());
    process.exitCode = 3;
    ${ending};`;
    const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '--eval', script], {
      encoding: 'utf8',
    });
    expect({ status, stderr }).toEqual({ status: 3, stderr: '' });
    await expect(new Client(stdout.trim()).connect()).rejects.toThrow();
  },
);
