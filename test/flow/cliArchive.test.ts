import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { newLogKey } from '../../src/audit/logKey.ts';
import { parseSigner, signNote } from '../../src/audit/signedNote.ts';
import { ArchivedLog } from '../support/archives.ts';
import { folder } from '../support/auditLog.ts';
import { document, run } from '../support/commands.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

let archived: ArchivedLog;
beforeEach(async () => {
  const database = await openTestDatabase('postgres');
  archived = await ArchivedLog.open(database);
  vi.stubEnv('DATABASE_URL', database.url);
  vi.stubEnv('MOONGUARD_MASTER_KEY', Buffer.alloc(32, 7).toString('base64'));
  vi.stubEnv('MOONGUARD_ARCHIVE', archived.directory);
});
afterEach(() => {
  process.exitCode = undefined;
  vi.unstubAllEnvs();
});

const exitCode = () => process.exitCode;

test('archives are written, listed, verified and searched, with the database and without', async () => {
  await archived.add('2026-09', 0, 29);
  await archived.add('2026-10', 30, 39, 'us_sar');
  const { verifierKey } = await archived.log.audit.checkpoint();
  const directory = archived.directory;

  const written = await run('archive');
  expect(written).toMatch(/^2026-09 +standard +1 +verified +30 /m);
  expect(written).toMatch(/^2026-10 +us_sar +1 +verified +10 /m);
  expect(await run('archive')).toBe('Nothing new to archive.\n');
  expect(await run('archive list')).toBe(written);

  const asSigned =
    'policy-logs/standard/2026-09.json: 30 rows are as signed.\npolicy-logs/us_sar/2026-10.json: 10 rows are as signed.\n';
  expect(await run('archive verify')).toBe(asSigned);
  expect(await run(`archive verify ${directory} --key ${verifierKey}`)).toBe(asSigned);
  expect(await run('archive search --customer-id customer_3 --limit 2')).toMatch(/row_38 [^]*row_31 /);
  expect(await run(`archive search --in ${directory} --text "BECAUSE 17"`)).toMatch(/row_17 /);
  expect(await run(`archive search --in ${directory} --retention-class us_sar --to 2026-10-01T00:00:00Z`)).toBe(
    'No rows.\n',
  );
  expect(exitCode()).toBeUndefined();
});

test('an archive that is changed or gone ends verifying with 1', async () => {
  await archived.add('2026-09', 0, 9);
  await run('archive');
  const classFolder = join(archived.directory, 'policy-logs/standard');
  for (const name of readdirSync(classFolder)) if (name.endsWith('.tiles.parquet')) rmSync(join(classFolder, name));
  expect(await run('archive verify')).toMatch(
    /^policy-logs\/standard\/2026-09\.json: MISSING {4}2026-09\..* is not there\n$/,
  );
  expect(exitCode()).toBe(1);

  // Whoever can write the directory takes all of it; the database knows better.
  process.exitCode = undefined;
  rmSync(classFolder, { recursive: true });
  expect(await run('archive verify')).toBe('policy-logs/standard/2026-09.json: MISSING    2026-09.json is not there\n');
  expect(exitCode()).toBe(1);
});

test('where nothing is archived that is said, and a place that is named must hold archives', async () => {
  const key = parseSigner(newLogKey('example.com/policy-log')).verifier.text;
  const empty = folder();
  expect(await run('archive list')).toBe('No archives.\n');
  expect(await run('archive verify')).toBe('No archives.\n');
  expect(await run('archive search')).toBe('No rows.\n');
  expect(exitCode()).toBeUndefined();
  expect(await run(`archive verify ${empty} --key ${key}`)).toBe('No archives.\n');
  expect(exitCode()).toBe(1);
  const nowhere = join(empty, 'nowhere');
  await expect(run(`archive verify ${nowhere} --key ${key}`)).rejects.toMatchObject({ code: 'archive_target_failed' });
  await expect(run(`archive search --in ${nowhere}`)).rejects.toMatchObject({ code: 'archive_target_failed' });
  await expect(run('archive')).rejects.toMatchObject({ code: 'audit_checkpoint_missing' });
});

test('what another key has signed is believed by nobody, and of several keys one is enough', async () => {
  await archived.add('2026-09', 0, 9);
  await run('archive');
  const { verifierKey: old } = await archived.log.audit.checkpoint();
  const stranger = parseSigner(newLogKey('example.com/policy-log'));
  const newer = stranger.verifier.text;
  const verify = (...keys: readonly string[]) =>
    run(`archive verify ${archived.directory} --key ${keys.join(' --key ')}`);
  expect(await verify(newer, old)).toBe('policy-logs/standard/2026-09.json: 10 rows are as signed.\n');
  await expect(verify(newer)).rejects.toMatchObject({ code: 'audit_signature_missing' });

  // A manifest that names the key it is signed with convinces only whoever has no other.
  const file = join(archived.directory, 'policy-logs/standard/2026-09.json');
  const manifest: { checkpoint: string } = JSON.parse(readFileSync(file, 'utf8'));
  const [text = ''] = manifest.checkpoint.split('\n\n');
  const forged = { ...manifest, checkpoint: signNote(`${text}\n`, stranger), verifier_key: newer };
  writeFileSync(file, JSON.stringify(forged));
  await expect(run('archive verify')).rejects.toMatchObject({ code: 'audit_signature_missing' });
});

test('an id that is none is no archive', async () => {
  await expect(run('archive erase-key x')).rejects.toMatchObject({ code: 'archive_not_found' });
});

test('rows stay until they are archived where that is required, and the log says who required it', async () => {
  expect(await document('archive require yes --as officer')).toEqual({ archivedBeforeRemoval: true });
  expect(
    await archived.log.run(
      `select executed_by, after_state from moonpay_policy_logs where policy_id = 'moonguard_retention'`,
    ),
  ).toEqual([{ executed_by: 'officer', after_state: { before_removal: true } }]);
});
