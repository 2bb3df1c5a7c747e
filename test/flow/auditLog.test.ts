import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { verifyExport, verifyProof } from '../../src/audit/AuditService.ts';
import { coveredColumns } from '../../src/audit/entryKinds.ts';
import { newLogKey } from '../../src/audit/logKey.ts';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import { sequenceBatch } from '../../src/audit/sequenceBatch.ts';
import { parseSigner } from '../../src/audit/signedNote.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { folder, Log } from '../support/auditLog.ts';
import { observed } from '../support/signals.ts';
import { forEachDatabase, openTestDatabase } from '../support/testDatabase.ts';

forEachDatabase('the audit log', (open) => {
  test('rows of whatever client come into the tree, are proven, exported and verified without the database', async () => {
    const log = await Log.signed(await open(), 300);
    await log.add(300, 600);
    expect(await log.sequence()).toMatchObject({ outcome: 'sequenced', leaves: 301, edge: { size: 601n } });
    expect(await log.audit.verify()).toEqual({
      size: 601,
      from: 0,
      to: 601,
      verified: 601,
      removed: 0,
      withheld: 0,
      findings: [],
    });

    const { verifierKey } = await log.audit.checkpoint();
    const { index, entry } = verifyProof(await log.audit.prove('row_300'), verifierKey);
    expect(index).toBe(300n);
    expect(entry.groups.get('rules')?.content).toBe('{"rule_results":{"n":300,"score":0.12345678901234567890}}');
    expect(entry.text).not.toContain('customer_300');

    const whole = join(folder(), 'export');
    expect(await log.audit.export(whole)).toBe(601);
    expect(await verifyExport(whole, { verifierKey })).toMatchObject({ verified: 601, findings: [] });
    const part = join(folder(), 'export');
    expect(await log.audit.export(part, { from: 290n, to: 310n })).toBe(20);
    expect(await verifyExport(part, { verifierKey })).toMatchObject({ verified: 20, findings: [] });
  });

  test('a row that is gone before it comes into the tree leaves no gap there', async () => {
    const log = await Log.open(await open());
    await log.add(0, 3);
    await log.tamper(`delete from moonpay_policy_logs where log_id = 'row_1'`);
    expect(await log.sequence()).toMatchObject({ leaves: 3, edge: { size: 3n } });
    expect(await log.audit.verify()).toMatchObject({ size: 3, verified: 3, findings: [] });
    await log.add(4, 4);
    await log.tamper(`delete from moonpay_policy_logs where log_id = 'row_4'`);
    expect(await log.sequence()).toMatchObject({ leaves: 0, edge: { size: 3n } });
    expect(await log.audit.progress()).toMatchObject({ queued: 0 });
  });

  test('rows that retention removes leave every proof valid, and no salt behind', async () => {
    const log = await Log.signed(await open(), 10);
    await log.run(`insert into moonpay_policy_logs (log_id, policy_id, action_type, executed_at, retention_period_days)
      values ('old', 'kyc_policy_001', 'rule_triggered', now() - interval '3 days', 1)`);
    await log.sequence();
    const { verifierKey } = await log.audit.checkpoint();
    const proof = await log.audit.prove('old');
    expect(await log.run('select cleanup_old_moonpay_policy_logs() as removed')).toEqual([{ removed: 1 }]);
    expect(await log.run('select * from moonguard.audit_leaves where leaf_index = 10')).toEqual([]);
    expect(await log.audit.verify()).toEqual({
      size: 11,
      from: 0,
      to: 11,
      verified: 10,
      removed: 1,
      withheld: 0,
      findings: [],
    });
    expect(verifyProof(proof, verifierKey).index).toBe(10n);
    const exported = join(folder(), 'export');
    await log.audit.export(exported);
    expect(await verifyExport(exported, { verifierKey })).toMatchObject({ verified: 10, removed: 1, findings: [] });
  });
});

test('every column of the tables is covered', async () => {
  const log = await Log.open(await openTestDatabase('postgres'));
  const columnsOf = async (table: string) => {
    const columns = await log.run(
      `select attname from pg_attribute where attrelid = '${table}'::regclass and attnum > 0`,
    );
    return new Set(columns.map(({ attname }) => attname));
  };
  expect(await columnsOf('moonpay_policy_logs')).toEqual(new Set(coveredColumns('policy_log')));
  expect(await columnsOf('moonguard.alert_timeline')).toEqual(new Set(coveredColumns('alert_timeline')));
  expect(await columnsOf('moonguard.endpoint_changes')).toEqual(new Set(coveredColumns('endpoint_change')));
});

test('nothing is signed on a tree that is not the one that was signed last', async () => {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 10);
  const { checkpoint } = await log.audit.checkpoint();
  await log.tamper(
    `update moonguard.audit_tiles set hashes = overlay(hashes placing '\\x00'::bytea from 33) where level = 0`,
  );
  await log.add(10, 11);
  const [signer, leader] = [await log.signer(), log.leader];
  await expect(sequenceBatch({ database, signer, leader, leaseMs: 10_000 }, undefined)).rejects.toMatchObject({
    code: 'audit_tree_inconsistent',
  });
  expect((await log.audit.checkpoint()).checkpoint).toBe(checkpoint);
});

test('of two sequencers one leads, and the other goes on when it stops', async () => {
  const log = await Log.open(await openTestDatabase('postgres'));
  const signer = await log.signer();
  const [first, second] = [observed(), observed()];
  const sequencers = [first, second].map(
    ({ observe }) => new Sequencer({ database: log.database, observe, signer, leader: systemRuntime.newId() }),
  );
  await log.add(0, 4);
  sequencers[0]?.start();
  expect(await first.next(({ type }) => type === 'audit.sequenced')).toMatchObject({ leaves: 5, size: 5 });
  sequencers[1]?.start();
  await log.add(5, 6);
  expect(await first.next(({ type }) => type === 'audit.sequenced')).toMatchObject({ leaves: 2, size: 7 });
  await sequencers[0]?.stop();
  await log.add(7, 9);
  expect(await second.next(({ type }) => type === 'audit.sequenced')).toMatchObject({ leaves: 3, size: 10 });
  await sequencers[1]?.stop();
  expect(await log.audit.verify()).toMatchObject({ verified: 10, findings: [] });
});

test('what is no proof, no export or not of this log says which', async () => {
  const log = await Log.signed(await openTestDatabase('postgres'), 300);
  const { verifierKey } = await log.audit.checkpoint();
  const proof = await log.audit.prove('row_7');
  const refusal = (text: string, key = verifierKey) => {
    try {
      verifyProof(text, key);
    } catch (error) {
      return error;
    }
    return undefined;
  };
  const stranger = (name: string) => parseSigner(newLogKey(name)).verifier.text;
  expect(refusal(proof, stranger('example.com/policy-log'))).toMatchObject({ code: 'audit_signature_missing' });
  expect(refusal(proof, stranger('example.com/other'))).toMatchObject({ code: 'audit_other_log' });
  expect(refusal(proof, 'nonsense')).toMatchObject({ code: 'log_key_invalid' });
  expect(refusal(proof.replace('@v1', '@v2'))).toMatchObject({ code: 'audit_version_unknown' });
  expect(refusal(proof.replace('index 7', 'index 8'))).toMatchObject({ code: 'audit_proof_invalid' });
  expect(refusal(proof.replace('\n300\n', '\n301\n'))).toMatchObject({ code: 'audit_signature_wrong' });
  expect(refusal(proof.slice(0, 400))).toMatchObject({ code: 'audit_proof_invalid' });
  const extra = JSON.parse(Buffer.from(/extra (.*)/.exec(proof)?.[1] ?? '', 'base64').toString());
  const withExtra = (changed: object) =>
    proof.replace(/extra .*/, `extra ${Buffer.from(JSON.stringify({ ...extra, ...changed })).toString('base64')}`);
  const groups = { ...extra.groups, subject: { ...extra.groups.subject, content: '{"customer_id":"customer_8"}' } };
  expect(refusal(withExtra({ groups }))).toMatchObject({ code: 'audit_proof_invalid' });
  expect(refusal(withExtra({ entry: extra.entry.replace('"v":1', '"v":2') }))).toMatchObject({
    code: 'audit_version_unknown',
  });
  expect(refusal(withExtra({}))).toBeUndefined();

  const exported = join(folder(), 'export');
  await log.audit.export(exported);
  const tile = join(exported, 'tile/0/000');
  writeFileSync(tile, readFileSync(tile).subarray(0, 100));
  await expect(verifyExport(exported, { verifierKey })).rejects.toMatchObject({ code: 'audit_tile_truncated' });
  await expect(verifyExport(folder(), { verifierKey })).rejects.toMatchObject({ code: 'audit_export_invalid' });
  await expect(log.audit.prove('row_x')).rejects.toMatchObject({ code: 'policy_log_not_found' });
  await log.add(300, 300);
  await expect(log.audit.prove('row_300')).rejects.toMatchObject({ code: 'audit_not_sequenced' });
});
