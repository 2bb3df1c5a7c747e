import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { newLogKey } from '../../src/audit/logKey.ts';
import { parseSigner } from '../../src/audit/signedNote.ts';
import { folder, Log } from '../support/auditLog.ts';
import { cli, startCli } from '../support/cli.ts';
import { run } from '../support/commands.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

/** A log of 300 rows, its proof of row 7, its export, and a checkpoint of another one, as files. */
async function openFiles() {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 120);
  const { checkpoint: earlier } = await log.audit.checkpoint();
  await log.add(120, 299);
  await log.sequence();
  const directory = folder();
  const file = (name: string): string => join(directory, name);
  const { checkpoint, verifierKey } = await log.audit.checkpoint();
  const proof = await log.audit.prove('row_7');
  writeFileSync(file('proof'), proof);
  writeFileSync(file('checkpoint'), checkpoint);
  writeFileSync(file('earlier.checkpoint'), earlier);
  writeFileSync(file('growth'), await log.audit.proveGrowth(earlier));
  writeFileSync(file('other.checkpoint'), checkpoint.replaceAll('example.com/policy-log', 'example.com/other'));
  writeFileSync(file('broken.proof'), proof.replace('index 7', 'index 8'));
  writeFileSync(file('newer.proof'), proof.replace('@v1', '@v2'));
  writeFileSync(file('resigned.proof'), proof.replace('\n300\n', '\n301\n'));
  const exportTo = async (name: string, change: (path: string) => void = () => {}): Promise<void> => {
    await log.audit.export(file(name));
    change(file(name));
  };
  await exportTo('export');
  await exportTo('cut', (path) => {
    const tile = join(path, 'tile/0/000');
    writeFileSync(tile, readFileSync(tile).subarray(0, 100));
  });
  await exportTo('changed', (path) => {
    const rows = join(path, 'rows.ndjson');
    writeFileSync(rows, readFileSync(rows, 'utf8').replace('because 7', 'because 8'));
  });
  await exportTo('empty', (path) => writeFileSync(join(path, 'manifest.json'), '{}'));
  await exportTo('newer', (path) => {
    writeFileSync(join(path, 'manifest.json'), JSON.stringify({ format: 'moonguard-audit-export@v9' }));
  });
  return { database, directory, verifierKey };
}

test('what is verified, what is refused and what is found out ends with its own code', {
  timeout: 120_000,
}, async () => {
  const { directory, verifierKey } = await openFiles();
  const verify = (args: string) => cli(['audit', 'verify', ...args.split(' '), '--key', verifierKey], { directory });

  expect(await verify('proof')).toMatchObject({
    code: 0,
    stderr: '',
    stdout: expect.stringMatching(/^Verified: this row/),
  });
  expect(await verify('export --against checkpoint')).toEqual({
    code: 0,
    stderr: '',
    stdout: 'Verified: 300 rows are as signed (300 leaves).\n',
  });
  expect(await verify('changed')).toEqual({
    code: 1,
    stderr: '',
    stdout: 'CHANGED    row_7 (leaf 7) is not what was signed\n',
  });
  const broken = await verify('broken.proof');
  expect(broken).toMatchObject({ code: 1, stdout: '', stderr: expect.stringMatching(/^audit_proof_invalid: /) });
  expect(await cli(['audit', 'verify', 'proof'], { directory })).toMatchObject({ code: 2, stdout: '' });
});

test('what is no proof, no export or not of this log is refused by name', async () => {
  const { directory, verifierKey } = await openFiles();
  const wrongKey = parseSigner(newLogKey('example.com/policy-log')).verifier.text;
  const otherLog = parseSigner(newLogKey('example.com/other')).verifier.text;
  const verify = (path: string, key: string, against: string | undefined): Promise<string> => {
    const compared = against === undefined ? '' : ` --against ${join(directory, against)}`;
    return run(`audit verify ${join(directory, path)} --key ${key}${compared}`);
  };
  expect(await verify('growth', verifierKey, 'earlier.checkpoint')).toBe(
    'Verified: the log has only grown since, to 300 leaves.\n',
  );
  const refusals: [path: string, code: string, options?: { key?: string; against?: string }][] = [
    ['proof', 'audit_signature_missing', { key: wrongKey }],
    ['proof', 'audit_other_log', { key: otherLog }],
    ['proof', 'log_key_invalid', { key: 'nonsense' }],
    ['proof', 'audit_proof_invalid', { against: 'checkpoint' }],
    ['broken.proof', 'audit_proof_invalid'],
    ['newer.proof', 'audit_version_unknown'],
    ['resigned.proof', 'audit_signature_wrong'],
    ['checkpoint', 'audit_proof_invalid'],
    ['growth', 'audit_proof_invalid', { against: 'checkpoint' }],
    ['nowhere', 'audit_export_invalid'],
    ['export', 'audit_other_log', { against: 'other.checkpoint' }],
    ['export', 'audit_other_log', { against: 'proof' }],
    ['export', 'audit_signature_missing', { key: wrongKey }],
    ['cut', 'audit_tile_truncated'],
    ['empty', 'audit_export_invalid'],
    ['newer', 'audit_version_unknown'],
  ];
  for (const [path, code, { key = verifierKey, against } = {}] of refusals) {
    const verified = verify(path, key, against);
    await expect(verified, path).rejects.toMatchObject({ code });
  }
});

test('a database is verified by the key that it names, which is said', {
  timeout: 120_000,
}, async () => {
  const { database, directory } = await openFiles();
  const env = { DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') };
  expect(await cli(['audit', 'verify'], { directory, env })).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(
      /^Verified: 300 rows are as signed \(300 leaves\)\.\nThe key is the one that the database/,
    ),
  });
});

test('a log is watched as it grows, until Ctrl-C or something is signed that did not grow', {
  timeout: 120_000,
}, async () => {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 3);
  const directory = folder();
  writeFileSync(join(directory, 'kept'), (await log.audit.checkpoint()).checkpoint);
  const env = { DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: Buffer.alloc(32, 7).toString('base64') };
  const watching = startCli(['audit', 'watch'], { directory, env });
  await watching.untilLine(/^3 leaves$/);
  await log.add(3, 4);
  await log.sequence();
  await watching.untilLine(/^5 leaves, grown from 3$/);
  watching.kill('SIGINT');
  expect(await watching.untilExit()).toEqual({ code: 0, stdout: '3 leaves\n5 leaves, grown from 3\n', stderr: '' });

  const since = startCli(['audit', 'watch', '--since', 'kept', '--json'], { directory, env });
  await since.untilLine(/^\{"size":5,"grownFrom":3,"checkpoint":"example\.com\/policy-log\\n5/);
  await log.tamper('delete from moonguard.audit_tiles');
  await log.tamper('delete from moonguard.audit_leaves');
  await log.tamper(
    `update moonguard.audit_log set tree_size = 0, root = sha256(''), checkpoint = null, signed_at = null`,
  );
  await log.add(10, 20);
  await log.sequence();
  expect(await since.untilExit()).toMatchObject({ code: 1, stderr: expect.stringMatching(/^audit_fork: /) });

  const wrong = (...args: readonly string[]) => cli(['audit', 'watch', ...args], { directory, env });
  expect(await wrong('--since', 'nowhere')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^audit_export_invalid: nowhere /),
  });
  expect(await wrong('--key', 'nonsense')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^log_key_invalid: /),
  });
});
