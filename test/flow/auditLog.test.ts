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
    expect(await log.sequence()).toMatchObject({ outcome: 'sequenced', leaves: 301, size: 601n });
    expect(await log.audit.verify()).toEqual({ size: 601, verified: 601, removed: 0, withheld: 0, findings: [] });

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

  test('rows that retention removes leave every proof valid, and no salt behind', async () => {
    const log = await Log.signed(await open(), 10);
    await log.run(`insert into moonpay_policy_logs (log_id, policy_id, action_type, executed_at, retention_period_days)
      values ('old', 'kyc_policy_001', 'rule_triggered', now() - interval '3 days', 1)`);
    await log.sequence();
    const { verifierKey } = await log.audit.checkpoint();
    const proof = await log.audit.prove('old');
    expect(await log.run('select cleanup_old_moonpay_policy_logs() as removed')).toEqual([{ removed: 1 }]);
    expect(await log.run('select * from moonguard.audit_leaves where leaf_index = 10')).toEqual([]);
    expect(await log.audit.verify()).toEqual({ size: 11, verified: 10, removed: 1, withheld: 0, findings: [] });
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

test.each([
  [
    'a changed column',
    `update moonpay_policy_logs set reason = 'x' where log_id = 'row_3'`,
    [{ kind: 'changed', index: 3, logId: 'row_3' }],
  ],
  [
    'a changed time',
    `update moonpay_policy_logs set executed_at = executed_at - interval '1 second' where log_id = 'row_3'`,
    [{ kind: 'changed', index: 3, logId: 'row_3' }],
  ],
  [
    'the eighteenth digit of a number',
    `update moonpay_policy_logs set rule_results = jsonb_build_object('n', 3, 'score', 0.12345678901234567891) where log_id = 'row_3'`,
    [{ kind: 'changed', index: 3, logId: 'row_3' }],
  ],
  ['a deleted row', `delete from moonpay_policy_logs where log_id = 'row_3'`, [{ kind: 'missing', index: 3 }]],
  [
    'a deleted row and its leaf',
    `with gone as (delete from moonpay_policy_logs where log_id = 'row_3' returning id) delete from moonguard.audit_leaves where row_id in (select id from gone)`,
    [{ kind: 'missing', index: 3 }],
  ],
  [
    'a row with an old time',
    `insert into moonpay_policy_logs (log_id, policy_id, action_type, executed_at) values ('forged', 'p', 'rule_passed', now() - interval '1 day')`,
    [{ kind: 'added', logId: 'forged' }],
  ],
  [
    'two rows in each other’s place',
    `update moonguard.audit_leaves a set row_id = b.row_id, salts = b.salts from moonguard.audit_leaves b where a.leaf_index + b.leaf_index = 11 and a.leaf_index in (5, 6)`,
    [
      { kind: 'reordered', index: 5 },
      { kind: 'reordered', index: 6 },
    ],
  ],
  [
    'the newest cut off',
    `with gone as (delete from moonguard.audit_leaves where leaf_index >= 8 returning row_id) delete from moonpay_policy_logs where id in (select row_id from gone)`,
    [
      { kind: 'missing', index: 8 },
      { kind: 'missing', index: 9 },
    ],
  ],
  [
    'a hash of the tree',
    `update moonguard.audit_tiles set hashes = overlay(hashes placing '\\x00'::bytea from 33) where level = 0`,
    [{ kind: 'root' }],
  ],
])('%s is named', async (_what, statement, findings) => {
  const log = await Log.signed(await openTestDatabase('postgres'), 10);
  await log.tamper(statement);
  const verification = await log.audit.verify();
  expect(verification.findings).toHaveLength(findings.length);
  expect(verification.findings).toMatchObject(findings);
});

test('a log that is written anew and signed with the same key is a fork of the checkpoint that somebody kept', async () => {
  const database = await openTestDatabase('postgres');
  const log = await Log.signed(database, 10);
  const { checkpoint: kept } = await log.audit.checkpoint();
  await log.tamper(
    `with gone as (truncate_all) select 1`.replace('truncate_all', 'delete from moonguard.audit_leaves returning 1'),
  );
  await log.tamper('delete from moonguard.audit_tiles');
  await log.tamper(
    `update moonguard.audit_log set tree_size = 0, root = sha256(''), checkpoint = null, signed_at = null`,
  );
  await log.tamper(`update moonpay_policy_logs set reason = 'otherwise' where log_id = 'row_3'`);
  await log.run(
    `insert into moonguard.audit_queue (kind, row_id, executed_at) select 'policy_log', id, executed_at from moonpay_policy_logs`,
  );
  await log.sequence();
  expect(await log.audit.verify()).toMatchObject({ verified: 10, findings: [] });
  expect(await log.audit.verify({ earlier: kept })).toMatchObject({ findings: [{ kind: 'fork', earlierSize: 10 }] });
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
