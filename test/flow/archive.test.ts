import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ArchivedLog } from '../support/archives.ts';
import { S3Server } from '../support/s3Server.ts';
import { forEachDatabase, openTestDatabase } from '../support/testDatabase.ts';

/** In the middle of November: September and October are over. */
const now = new Date('2026-11-15T00:00:00Z');

const fileOf = (directory: string, pattern: RegExp): string => {
  const name = readdirSync(directory, { recursive: true, encoding: 'utf8' }).find((each) => pattern.test(each));
  return join(directory, name ?? `no file like ${pattern}`);
};
const changeByte = (file: string, at: number): void => {
  const bytes = readFileSync(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  writeFileSync(file, bytes);
};

forEachDatabase('the archive of the policy log', (open) => {
  test('has the rows of the months that are over, by class, as they were signed', async () => {
    const archived = await ArchivedLog.open(await open());
    await archived.add('2026-09', 0, 299);
    await archived.log.run(`insert into moonguard.retention_rules (retention_class, record_class, jurisdiction, days, source)
      values ('ofac/10y', 'sanctions', 'US', 3653, '31 CFR 501.601')`);
    await archived.log.sequence();
    await archived.add('2026-10', 300, 309, 'ofac/10y');
    await archived.add('2026-10', 310, 314);
    await archived.add('2026-11', 315, 320);

    const run = await archived.archives.run({ now });
    expect(run.status).toBe('finished');
    expect(run.archives).toMatchObject([
      { month: '2026-09', retentionClass: 'standard', state: 'verified', rowCount: 300 },
      {
        month: '2026-10',
        retentionClass: 'ofac/10y',
        state: 'verified',
        rowCount: 10,
        retainUntil: new Date('2036-10-01T09:00:00Z'),
      },
      { month: '2026-10', retentionClass: 'standard', state: 'verified', rowCount: 5 },
    ]);
    expect(await archived.verify()).toMatchObject([
      { archive: 'policy-logs/ofac%2F10y/2026-10.json', verified: 10, findings: [] },
      { archive: 'policy-logs/standard/2026-09.json', verified: 300, findings: [] },
      { archive: 'policy-logs/standard/2026-10.json', verified: 5, findings: [] },
    ]);
    // Nothing is left to do; what comes late is in a further part.
    expect(await archived.archives.run({ now })).toEqual({ status: 'finished', archives: [] });
    await archived.add('2026-09', 400, 402);
    expect((await archived.archives.run({ now })).archives).toMatchObject([
      { month: '2026-09', part: 2, rowCount: 3, manifest: 'policy-logs/standard/2026-09.2.json' },
    ]);
    expect(
      await archived.log.run('select count(*)::int as count from moonguard.archives where claimed_by is not null'),
    ).toEqual([{ count: 0 }]);
  });

  test('is searched by what its rows say, the newest first', async () => {
    const archived = await ArchivedLog.open(await open());
    await archived.add('2026-08', 0, 99);
    await archived.add('2026-09', 100, 199);
    await archived.archives.run({ now });
    const search = async (wanted: Parameters<typeof archived.archives.search>[0]) =>
      (await archived.archives.search(wanted)).map(({ entry }) => entry.logId);

    expect(await search({ customerId: 'customer_3', limit: 3 })).toEqual(['row_199', 'row_192', 'row_185']);
    expect(await search({ correlationId: 'correlation_42' })).toEqual(['row_42']);
    expect(await search({ text: 'BECAUSE 17', from: new Date('2026-09-01T00:00:00Z') })).toHaveLength(10);
    const hours = { from: new Date('2026-09-01T01:00:00Z'), to: new Date('2026-09-01T03:00:00Z') };
    expect(await search(hours)).toEqual(['row_102', 'row_101']);
    expect(await search({ customerId: 'nobody' })).toEqual([]);
    expect(await search({ actionType: 'rule_failed' })).toEqual([]);
    expect(await search({ policyId: 'kyc_policy_001', limit: 1 })).toEqual(['row_199']);
    const [found] = await archived.archives.search({ correlationId: 'correlation_142' });
    expect(found?.entry).toMatchObject({
      reason: 'because 142',
      ruleResults: { n: 142 },
      executedAt: new Date('2026-09-02T18:00:00Z'),
      ipAddress: null,
    });
    await expect(archived.archives.search({ limit: 0 })).rejects.toMatchObject({ code: 'archive_search_invalid' });
  });

  test('is readable with its key alone, and never again when that is erased', async () => {
    const database = await open();
    const archived = await ArchivedLog.open(database, { encrypt: true });
    await archived.add('2026-09', 0, 99);
    const { archives } = await archived.archives.run({ now });
    expect(archives).toMatchObject([{ isEncrypted: true, state: 'verified' }]);
    const bytes = readFileSync(fileOf(archived.directory, /\.sealed$/));
    expect(bytes.includes('customer_') || bytes.includes('PAR1')).toBe(false);
    expect(await archived.archives.search({ customerId: 'customer_1', limit: 1 })).toHaveLength(1);
    expect(await archived.verify()).toMatchObject([{ verified: 100, rowsRead: true, findings: [] }]);

    const [{ id } = { id: '' }] = archives;
    await archived.archives.eraseKey(id, { actor: 'officer' });
    expect(await archived.archives.list()).toMatchObject([{ keyErasedBy: 'officer', state: 'verified' }]);
    await expect(archived.archives.search({})).rejects.toMatchObject({ code: 'archive_key_missing' });
    expect(await archived.verify()).toMatchObject([{ verified: 0, rowsRead: false, findings: [] }]);
    await expect(archived.archives.eraseKey(id)).rejects.toMatchObject({ code: 'archive_not_encrypted' });
    changeByte(fileOf(archived.directory, /\.sealed$/), 100);
    expect(await archived.verify()).toMatchObject([{ findings: [{ kind: 'file_changed' }] }]);
  });

  test('has every row that retention removes, where that is wanted', async () => {
    const archived = await ArchivedLog.open(await open());
    const rows = async () =>
      archived.log.run("select log_id from moonpay_policy_logs where log_id like 'row_%' order by log_id");
    const cleanup = () => archived.log.run("select cleanup_old_moonpay_policy_logs('2040-01-01')");
    await archived.add('2026-09', 0, 2);
    await archived.add('2026-10', 3, 3);
    await archived.archives.requireBeforeRemoval(true, { actor: 'officer' });
    await cleanup();
    expect(await rows()).toHaveLength(4);
    await archived.archives.run({ now: new Date('2026-10-15T00:00:00Z') });
    // It came after the archive of its month.
    await archived.add('2026-09', 4, 4);
    await cleanup();
    expect(await rows()).toEqual([{ log_id: 'row_3' }, { log_id: 'row_4' }]);
    expect(await archived.verify()).toMatchObject([{ verified: 3, findings: [] }]);

    await archived.archives.requireBeforeRemoval(false);
    await cleanup();
    expect(await rows()).toEqual([]);
  });

  test('is finished by the next run, wherever an earlier one was killed', async () => {
    const archived = await ArchivedLog.open(await open());
    await archived.add('2026-09', 0, 49);
    // After each step that the run reports, as if the process were gone: nothing is released, nothing cleaned up.
    for (const step of ['writing', 'comparing'] as const) {
      const stop = new AbortController();
      const stopped = await archived.archives.run({
        now,
        signal: stop.signal,
        onProgress: (progress) => {
          if (progress.step === step) stop.abort();
        },
      });
      expect(stopped).toMatchObject({ status: 'interrupted', archives: [] });
      await archived.log.run(
        "update moonguard.archives set claimed_by = '00000000-0000-0000-0000-000000000001', claimed_until = now() + interval '1 hour'",
      );
      expect(await archived.again().archives.run({ now })).toMatchObject({ status: 'interrupted' });
      await archived.log.run("update moonguard.archives set claimed_until = now() - interval '1 second'");
    }
    expect(await archived.archives.list()).toMatchObject([{ state: 'written', rowCount: 50 }]);
    // Between being written and being read back, the file went bad.
    changeByte(fileOf(archived.directory, /[0-9a-f]{16}\.parquet$/), 2_000);
    expect(await archived.again().archives.run({ now })).toMatchObject({
      status: 'finished',
      archives: [{ state: 'verified' }],
    });
    expect(await archived.verify()).toMatchObject([{ verified: 50, findings: [] }]);
  });
});

test.each<[string, RegExp, object[]]>([
  ['a row', /\d\.[0-9a-f]{16}\.parquet$/, [{ kind: 'file_changed' }, { kind: 'changed' }]],
  ['the tiles', /\.tiles\.parquet$/, [{ kind: 'file_changed' }, { kind: 'root' }, { kind: 'row_count' }]],
])('a change of %s in a file is found', async (_what, file, findings) => {
  const archived = await ArchivedLog.open(await openTestDatabase('postgres'));
  await archived.add('2026-09', 0, 99);
  await archived.archives.run({ now });
  changeByte(fileOf(archived.directory, file), 700);
  const [verification] = await archived.verify();
  expect(verification?.findings).toMatchObject(findings);
});

test('in S3, files are locked until the retention of their rows is over', async () => {
  const s3 = await S3Server.start();
  const target = 's3://records/a prefix+é';
  const archived = await ArchivedLog.open(await openTestDatabase('postgres'), {
    target,
    lock: 'compliance',
    s3: s3.settings,
  });
  await archived.add('2026-09', 0, 99, 'a class: with+everything%');
  s3.failures = 2;
  expect((await archived.archives.run({ now })).archives).toMatchObject([{ state: 'verified', target }]);
  expect(Array.from(s3.objects.values(), ({ lockMode, retainUntil }) => [lockMode, retainUntil])).toEqual(
    Array.from({ length: 3 }, () => ['COMPLIANCE', '2033-09-03T03:00:00.000Z']),
  );

  s3.pageSize = 2;
  expect(await archived.verify()).toMatchObject([{ verified: 100, findings: [] }]);
  expect(await archived.archives.search({ customerId: 'customer_3', limit: 2 })).toHaveLength(2);
  const stranger = archived.again({ target, s3: { ...s3.settings, secretAccessKey: 'another' } });
  await expect(stranger.archives.search({})).rejects.toMatchObject({
    code: 'archive_target_failed',
    message: expect.stringContaining('SignatureDoesNotMatch'),
  });
  const [rows] = Array.from(s3.objects).filter(([key]) => key.endsWith('.parquet'));
  s3.objects.delete(rows?.[0] ?? '');
  expect(await archived.verify()).toMatchObject([{ rowsRead: false, findings: [{ kind: 'file_missing' }] }]);
});
