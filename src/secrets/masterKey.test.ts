import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { refusal } from '../../test/support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import type { Observation } from '../observe/observation.ts';
import { openSecretBox } from './masterKey.ts';

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'moonguard-key-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

const keyOf = (byte: number): string => Buffer.alloc(32, byte).toString('base64');

forEachDatabase('the master key of a database', (open) => {
  let database: TestDatabase;
  let observed: Observation[];
  beforeEach(async () => {
    database = await open();
    observed = [];
  });
  afterEach(() => database.close());

  const start = (source: { masterKey?: string; dataDirectory?: string }) =>
    openSecretBox(
      database.db,
      { masterKey: source.masterKey, dataDirectory: source.dataDirectory },
      (observation) => void observed.push(observation),
    );

  test('is made at the first start, and used at every later one', async () => {
    const dataDirectory = newDirectory();
    const first = await start({ dataDirectory });

    expect(observed).toEqual([{ type: 'master_key.generated', file: join(dataDirectory, 'master.key') }]);
    expect((await start({ dataDirectory })).keyId).toBe(first.keyId);
    expect((await start({ masterKey: readFileSync(join(dataDirectory, 'master.key'), 'utf8').trim() })).keyId).toBe(
      first.keyId,
    );
    expect(observed).toHaveLength(1);
  });

  describe('is one, before anything is sealed:', () => {
    test('another one is refused', async () => {
      await start({ masterKey: keyOf(1) });

      expect(await refusal(start({ masterKey: keyOf(2) }))).toMatchObject({ code: 'master_key_mismatch' });
      expect((await start({ masterKey: keyOf(1) })).keyId).toHaveLength(8);
    });

    test('a second machine does not make one of its own', async () => {
      const second = newDirectory();
      await start({ dataDirectory: newDirectory() });

      expect(await refusal(start({ dataDirectory: second }))).toMatchObject({ code: 'master_key_missing' });
      expect(existsSync(join(second, 'master.key'))).toBe(false);
    });

    test('of two machines that start at once, one is refused and leaves no key behind', async () => {
      const directories = [newDirectory(), newDirectory()];
      const starts = await Promise.allSettled(directories.map((dataDirectory) => start({ dataDirectory })));

      expect(starts.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
      expect(directories.map((directory) => existsSync(join(directory, 'master.key')))).toEqual(
        starts.map(({ status }) => status === 'fulfilled'),
      );
    });
  });
});
