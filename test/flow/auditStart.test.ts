import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import { createMoonguard } from '../../src/moonguard.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { Log } from '../support/auditLog.ts';
import { directoryWithDatabase } from '../support/cli.ts';
import { observed } from '../support/signals.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

test('beside the embedded database a key is made once, and what is logged is signed with it after every start', async () => {
  const dataDirectory = join(directoryWithDatabase(), 'data');
  const keyFile = join(dataDirectory, 'log.key');
  const keys = new Set<string>();
  for (const logId of ['log_1', 'log_2']) {
    const moonguard = await createMoonguard({ dataDirectory, observe: () => {} });
    await moonguard.start();
    await moonguard.policies.logPolicyExecution({
      logId,
      policyId: 'kyc_policy_001',
      actionType: 'rule_triggered',
      entityType: 'customer',
      entityId: 'customer_123',
      executionStatus: 'success',
    });
    const { verifierKey } = await moonguard.audit.waitForCheckpoint(logId);
    expect(await moonguard.audit.verify({ verifierKey })).toMatchObject({ findings: [] });
    await moonguard.stop();
    keys.add(readFileSync(keyFile, 'utf8'));
    expect(readFileSync(keyFile, 'utf8')).toMatch(
      /^PRIVATE\+KEY\+moonguard\.invalid\/[0-9a-f-]{36}\+[0-9a-f]{8}\+\S+\n$/,
    );
  }
  expect(keys.size).toBe(1);
  expect(statSync(keyFile).mode & 0o777).toBe(0o600);
});

test('a process without a key says so and leaves signing to the others', async () => {
  const log = await Log.open(await openTestDatabase('postgres'));
  const { observe, next } = observed();
  const moonguard = await createMoonguard({
    database: log.database,
    masterKey: Buffer.alloc(32, 7).toString('base64'),
    observe,
  });
  await moonguard.start();
  await next(({ type }) => type === 'audit.key_missing');
  await log.add(0, 2);
  await moonguard.stop();
  await expect(log.audit.checkpoint()).rejects.toMatchObject({ code: 'audit_checkpoint_missing' });
  expect(await log.sequence()).toMatchObject({ outcome: 'sequenced' });
  expect(await log.audit.verify()).toMatchObject({ findings: [] });
});

test('what is logged until the end is signed when a process stops', async () => {
  const log = await Log.open(await openTestDatabase('postgres'));
  const { observe, next } = observed();
  const sequencer = new Sequencer({
    database: log.database,
    observe,
    signer: await log.signer(),
    leader: systemRuntime.newId(),
  });
  await log.add(0, 0);
  sequencer.start();
  await next(({ type }) => type === 'audit.sequenced');
  await log.add(1, 2);
  await sequencer.stop();
  expect(await log.audit.verify()).toMatchObject({ size: 3, verified: 3, findings: [] });
});

test('nothing is written while nothing is logged', async () => {
  const log = await Log.signed(await openTestDatabase('postgres'), 3);
  await log.run('update moonguard.audit_log set leader = null, leader_until = null');
  const written = 'select xmin::text, * from moonguard.audit_log';
  const before = await log.run(written);
  const { observe, all } = observed();
  const sequencer = new Sequencer({
    database: log.database,
    observe,
    signer: await log.signer(),
    leader: systemRuntime.newId(),
  });
  sequencer.start();
  await sequencer.stop();
  expect(await log.run(written)).toEqual(before);
  expect(all).toEqual([]);
});
