import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { AuditService } from '../../src/audit/AuditService.ts';
import { openCheckpoint } from '../../src/audit/checkpoint.ts';
import { publishLog } from '../../src/audit/publishLog.ts';
import { parseSigner } from '../../src/audit/signedNote.ts';
import { connectDatabase } from '../../src/database/connect.ts';
import { folder, Log, logKey } from '../support/auditLog.ts';
import { openTestDatabase } from '../support/testDatabase.ts';
import { statementProxy } from './statementProxy.ts';

const readingTiles = /from "moonguard"\."audit_tiles"/;

/** A log, the folder of its files, and two processes that share it: of one, statements can be held. */
async function openScene() {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 10);
  const proxy = await statementProxy(database.url);
  const through = await connectDatabase({ databaseUrl: proxy.url });
  onTestFinished(() => through.close());
  const directory = join(folder(), 'log');
  return {
    proxy,
    first: () => publishLog(directory, { database: through, audit: new AuditService({ database: through }) }),
    second: () => publishLog(directory, log),
    grow: async (from: number, to: number) => {
      await log.add(from, to);
      await log.sequence();
    },
    published: () =>
      Number(openCheckpoint(readFileSync(join(directory, 'checkpoint'), 'utf8'), parseSigner(logKey).verifier).size),
  };
}

test('of two processes that share a folder one writes at a time: no older checkpoint follows a newer one', async () => {
  const { proxy, first, second, grow, published } = await openScene();
  await second();
  await grow(10, 19);
  // It has chosen what it publishes, and stands still before it writes.
  const held = proxy.hold(readingTiles);
  const publishing = first();
  const goOn = await held;
  await grow(20, 29);
  expect(await second()).toBeUndefined();
  expect(published()).toBe(10);
  goOn();
  expect(await publishing).toBe(20);
  expect(await second()).toBe(30);
  expect(published()).toBe(30);
  expect(await first()).toBeUndefined();
});

test('a process that is gone in the middle is in nobody’s way', async () => {
  const { proxy, first, second, grow, published } = await openScene();
  await second();
  await grow(10, 19);
  const struck = proxy.strike(readingTiles, 'before');
  await Promise.all([struck, expect(first()).rejects.toThrow()]);
  expect(published()).toBe(10);
  await expect.poll(second).toBe(20);
  expect(published()).toBe(20);
});
