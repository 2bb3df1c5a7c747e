import { expect, test } from 'vitest';
import type { Finding } from '../../src/audit/verifyLog.ts';
import { Log } from '../support/auditLog.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

/** What a superuser may do to a log of ten rows, and what is said of it. `rowId` is given as the log_id of the row. */
const tampered: [what: string, statement: string, findings: Finding[]][] = [
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
  [
    'a deleted row',
    `delete from moonpay_policy_logs where log_id = 'row_3'`,
    [{ kind: 'missing', index: 3, rowId: 'row_3' }],
  ],
  [
    'a deleted row with its leaf',
    `with gone as (delete from moonpay_policy_logs where log_id = 'row_3' returning id) delete from moonguard.audit_leaves where row_id in (select id from gone)`,
    [{ kind: 'missing', index: 3, rowId: undefined }],
  ],
  [
    'a row with an old time',
    `insert into moonpay_policy_logs (log_id, policy_id, action_type, executed_at) values ('forged', 'p', 'rule_passed', now() - interval '1 day')`,
    [{ kind: 'added', logId: 'forged' }],
  ],
  [
    'a row with an old time and the id of another',
    `insert into moonpay_policy_logs (id, log_id, policy_id, action_type, executed_at) select id, 'forged', 'p', 'rule_passed', now() - interval '1 day' from moonpay_policy_logs where log_id = 'row_3'`,
    [{ kind: 'added', logId: 'forged' }],
  ],
  [
    'two leaves in each other’s place',
    `update moonguard.audit_leaves a set row_id = b.row_id, executed_at = b.executed_at, salts = b.salts from moonguard.audit_leaves b
       where a.leaf_index + b.leaf_index = 11 and a.leaf_index in (5, 6)`,
    [
      { kind: 'reordered', index: 5, logId: 'row_6' },
      { kind: 'reordered', index: 6, logId: 'row_5' },
    ],
  ],
  [
    'the reasons of two rows in each other’s place',
    `update moonpay_policy_logs a set reason = b.reason from moonpay_policy_logs b
       where a.log_id <> b.log_id and a.log_id in ('row_5', 'row_6') and b.log_id in ('row_5', 'row_6')`,
    [
      { kind: 'changed', index: 5, logId: 'row_5' },
      { kind: 'changed', index: 6, logId: 'row_6' },
    ],
  ],
  [
    'the newest cut off',
    `delete from moonpay_policy_logs where log_id in ('row_8', 'row_9')`,
    [
      { kind: 'missing', index: 8, rowId: 'row_8' },
      { kind: 'missing', index: 9, rowId: 'row_9' },
    ],
  ],
  [
    'a removal that retention did not make',
    `with gone as (delete from moonguard.audit_leaves where leaf_index = 3)
       insert into moonguard.audit_removals (leaf_indexes, record_id) values ('{[3,4)}', gen_random_uuid())`,
    [
      { kind: 'unrecorded', index: 3 },
      { kind: 'added', logId: 'row_3' },
    ],
  ],
  [
    'a hash of the tree',
    `update moonguard.audit_tiles set hashes = overlay(hashes placing '\\x00'::bytea from 33) where level = 0`,
    [{ kind: 'root' }],
  ],
];

test.each(tampered)('%s is named', async (_what, statement, findings) => {
  const log = await Log.signed(await openTestDatabase('postgres'), 10);
  const rows = await log.run('select log_id, id from moonpay_policy_logs');
  const ids = new Map(rows.map(({ log_id: logId, id }) => [logId, id]));
  await log.tamper(statement);
  const named = findings.map((finding) =>
    finding.kind === 'missing' ? { ...finding, rowId: ids.get(finding.rowId) } : finding,
  );
  expect((await log.audit.verify()).findings).toEqual(named);
});

test('a log that is set back to an earlier checkpoint is shorter than the one that somebody kept', async () => {
  const log = await Log.signed(await openTestDatabase('postgres'), 6);
  await log.tamper('create table public.before as select * from moonguard.audit_log');
  await log.tamper('create table public.tiles_before as select * from moonguard.audit_tiles');
  await log.add(6, 9);
  await log.sequence();
  const { checkpoint: kept } = await log.audit.checkpoint();
  await log.tamper(`delete from moonpay_policy_logs where log_id >= 'row_6'`);
  await log.tamper('delete from moonguard.audit_leaves where leaf_index >= 6');
  await log.tamper('update moonguard.audit_tiles t set hashes = b.hashes from public.tiles_before b');
  await log.tamper(
    'update moonguard.audit_log set (tree_size, root, checkpoint, signed_at) = (select tree_size, root, checkpoint, signed_at from public.before)',
  );
  expect(await log.audit.verify()).toMatchObject({ verified: 6, findings: [] });
  const { findings } = await log.audit.verify({ earlier: kept });
  expect(findings).toEqual([{ kind: 'shorter', size: 6, earlierSize: 10 }]);
  await expect(log.audit.proveGrowth(kept)).rejects.toMatchObject({ code: 'audit_fork' });
});

test('a log that is written anew and signed with the same key is a fork of the checkpoint that somebody kept', async () => {
  const log = await Log.signed(await openTestDatabase('postgres'), 10);
  const { checkpoint: kept } = await log.audit.checkpoint();
  await log.tamper(`update moonpay_policy_logs set reason = 'otherwise' where log_id = 'row_3'`);
  await log.tamper('delete from moonguard.audit_leaves');
  await log.tamper('delete from moonguard.audit_tiles');
  await log.tamper(
    `update moonguard.audit_log set tree_size = 0, root = sha256(''), checkpoint = null, signed_at = null`,
  );
  await log.run(
    `insert into moonguard.audit_queue (kind, row_id, executed_at) select 'policy_log', id, executed_at from moonpay_policy_logs`,
  );
  await log.sequence();
  expect(await log.audit.verify()).toMatchObject({ verified: 10, findings: [] });
  const { findings } = await log.audit.verify({ earlier: kept });
  expect(findings).toEqual([{ kind: 'fork', earlierSize: 10 }]);
  await expect(log.audit.proveGrowth(kept)).rejects.toMatchObject({ code: 'audit_fork' });
});
