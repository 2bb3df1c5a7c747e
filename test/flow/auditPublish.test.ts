import { cpSync, existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { LogPublisher } from '../../src/audit/LogPublisher.ts';
import { newLogKey } from '../../src/audit/logKey.ts';
import { publishLog } from '../../src/audit/publishLog.ts';
import { parseSigner, parseVerifier, signNote } from '../../src/audit/signedNote.ts';
import { tilePath } from '../../src/audit/tiles.ts';
import { VerifiedTree } from '../../src/audit/VerifiedTree.ts';
import { createMoonguard } from '../../src/moonguard.ts';
import { folder, Log, logKey } from '../support/auditLog.ts';
import { httpServer } from '../support/localServers.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase } from '../support/testDatabase.ts';

const verifier = parseSigner(logKey).verifier;

/** A web server that knows nothing of logs. */
async function served(directory: string): Promise<(path: string) => Promise<Buffer | undefined>> {
  const { url } = await httpServer((request, response) => {
    const file = join(directory, request.url ?? '');
    if (!existsSync(file)) response.writeHead(404).end();
    else response.end(readFileSync(file));
  });
  return async (path) => {
    const response = await fetch(new URL(`/${path}`, url));
    return response.ok ? Buffer.from(await response.arrayBuffer()) : undefined;
  };
}

/** How many leaves a reader of the web finds under the signed root. */
async function verifiedLeaves(directory: string): Promise<number> {
  const get = await served(directory);
  const checkpoint = openCheckpoint(String(await get('checkpoint')), verifier);
  const tree = await VerifiedTree.open(checkpoint, (tile) => get(tilePath(tile)));
  let leaves = 0;
  for (let index = 0n; index < checkpoint.size; index++) {
    if ((await tree?.leaf(index)) !== undefined) leaves++;
  }
  return leaves;
}

async function publishedLog(rows: number) {
  const log = await Log.signed(await openTestDatabase('postgres'), rows);
  const directory = join(folder(), 'log');
  const publish = () => publishLog(directory, log);
  return { log, directory, publish };
}

forEachDatabase('a folder of the log', (open) => {
  test('grows with it, and any web server serves what verifies', async () => {
    const log = await Log.signed(await open(), 300);
    const directory = join(folder(), 'log');
    const publish = () => publishLog(directory, log);
    expect(await publish()).toBe(300);
    expect(await verifiedLeaves(directory)).toBe(300);
    expect(await publish()).toBeUndefined();

    await log.add(300, 599);
    await log.sequence();
    expect(await publish()).toBe(600);
    expect(await verifiedLeaves(directory)).toBe(600);
    // What is whole now is not there in parts.
    expect(readdirSync(join(directory, 'tile/0')).toSorted()).toEqual(['000', '001', '002.p']);
    expect(readdirSync(directory).toSorted()).toEqual(['checkpoint', 'tile']);
  });
});

test('what was interrupted goes on, and what is there is whole meanwhile', async () => {
  const { log, directory, publish } = await publishedLog(10);
  await publish();
  const before = readFileSync(join(directory, 'checkpoint'), 'utf8');
  await log.add(10, 700);
  await log.sequence();
  await publish();
  // As if it had ended before the checkpoint, and half a tile had reached the disk.
  writeFileSync(join(directory, 'checkpoint'), before);
  writeFileSync(join(directory, 'tile/0/001'), 'half');
  expect(openCheckpoint(before, verifier).size).toBe(10n);
  expect(await publish()).toBe(701);
  expect(await verifiedLeaves(directory)).toBe(701);
});

test.each([
  [
    'another tree of the same log',
    'audit_fork',
    () => signNote(`${verifier.name}\n5\n${Buffer.alloc(32).toString('base64')}\n`, parseSigner(logKey)),
  ],
  [
    'a longer log',
    'audit_fork',
    () => signNote(`${verifier.name}\n5000\n${Buffer.alloc(32).toString('base64')}\n`, parseSigner(logKey)),
  ],
  [
    'another log',
    'audit_other_log',
    () => {
      const other = parseSigner(newLogKey('example.com/other'));
      return signNote(`${other.verifier.name}\n5\n${Buffer.alloc(32).toString('base64')}\n`, other);
    },
  ],
  ['anything else', 'audit_other_log', () => 'no checkpoint'],
])('a folder with %s stays as it is', async (_what, code, checkpoint) => {
  const { directory, publish } = await publishedLog(10);
  await publish();
  const before = join(folder(), 'before');
  writeFileSync(join(directory, 'checkpoint'), checkpoint());
  rmSync(join(directory, 'tile'), { recursive: true });
  cpSync(directory, before, { recursive: true });
  await expect(publish()).rejects.toMatchObject({ code });
  expect(readdirSync(directory)).toEqual(readdirSync(before));
});

test('a process with the setting publishes by itself, and says what is in the way', async () => {
  const log = await Log.signed(await openTestDatabase('postgres'), 3);
  const { observe, next } = observed();
  const directory = join(folder(), 'log');
  const moonguard = await createMoonguard({
    database: log.database,
    masterKey: Buffer.alloc(32, 7).toString('base64'),
    logDirectory: directory,
    observe,
  });
  await moonguard.start();
  expect(await next(({ type }) => type === 'audit.published')).toEqual({ type: 'audit.published', size: 3 });
  await moonguard.stop();
  expect(await verifiedLeaves(directory)).toBe(3);

  writeFileSync(join(directory, 'checkpoint'), 'no checkpoint');
  const { audit, database } = log;
  const publisher = new LogPublisher({ database, observe, audit, folder: directory });
  onTestFinished(() => publisher.stop());
  publisher.start();
  expect(await next(({ type }) => type === 'audit.publish_failed')).toMatchObject({ reason: /checkpoint/ });
});

test('a log of which nothing is signed yet is published once something is', async () => {
  const log = await Log.open(await openTestDatabase('postgres'));
  const { observe, next } = observed();
  const { audit, database } = log;
  const publisher = new LogPublisher({ database, observe, audit, folder: join(folder(), 'log') });
  onTestFinished(() => publisher.stop());
  publisher.start();
  await log.add(0, 1);
  await log.sequence();
  expect(await next(({ type }) => type.startsWith('audit.publish'))).toEqual({ type: 'audit.published', size: 2 });
  expect(parseVerifier((await audit.checkpoint()).verifierKey).name).toBe(verifier.name);
});
