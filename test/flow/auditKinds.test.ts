import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { verifyExport, verifyProof } from '../../src/audit/AuditService.ts';
import { entryKinds } from '../../src/audit/entryKinds.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { folder, Log } from '../support/auditLog.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { openWebhooks } from '../support/webhooks.ts';

/** Three rows of the policy log, two steps of an alert, and an endpoint with three changes, all signed. */
async function eventfulLog(database: TestDatabase): Promise<Log> {
  const log = await Log.open(database);
  const compliance = new ComplianceService({ database });
  const { webhooks } = openWebhooks(database);
  await log.add(0, 2);
  const finding = {
    alertType: 'sanctions_check',
    severity: 'high',
    customerId: 'customer_77',
    title: 'Tortoise',
  } as const;
  const { alertId } = await compliance.createAlert(finding, { actor: 'anna' });
  await compliance.comment(alertId, 'The hare says so', { actor: 'ben' });
  const url = 'https://example.com/hook';
  const { id } = await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' }, { actor: 'anna' });
  await webhooks.suspendWebhook(id, 'maintenance', { actor: 'ben' });
  await log.sequence();
  return log;
}

const idOf = async (log: Log, table: string, condition: string): Promise<string> =>
  String((await log.run(`select id from ${table} where ${condition}`))[0]?.['id']);

forEachDatabase('the histories of alerts and endpoints', (open) => {
  test('come into the tree with the policy log, are proven, exported and verified', async () => {
    const log = await eventfulLog(await open());
    expect(await log.audit.verify()).toMatchObject({ size: 8, verified: 8, findings: [] });
    const { verifierKey } = await log.audit.checkpoint();

    const comment = await idOf(log, 'moonguard.alert_timeline', "action = 'commented'");
    const proven = verifyProof(await log.audit.prove(comment), verifierKey);
    expect(JSON.parse(proven.entry.text)).toMatchObject({ kind: 'alert_timeline', id: comment, v: 1 });
    expect(proven.entry.groups.get('words')?.content).toBe('{"mentions":[],"reason":"The hare says so"}');

    const suspended = await idOf(log, 'moonguard.endpoint_changes', `after ->> 'status' = 'inactive'`);
    const { entry } = verifyProof(await log.audit.prove(suspended), verifierKey);
    expect(entry.groups.get('after')?.content).toBe('{"after":{"status":"inactive","status_reason":"maintenance"}}');

    const exported = join(folder(), 'export');
    expect(await log.audit.export(exported, { kinds: entryKinds })).toBe(8);
    expect(await verifyExport(exported, { verifierKey })).toMatchObject({ verified: 8, withheld: 0, findings: [] });
  });

  test('are not in an export unless it is asked for them, which is verified all the same', async () => {
    const log = await eventfulLog(await open());
    const { verifierKey } = await log.audit.checkpoint();
    const exported = join(folder(), 'export');
    await log.audit.export(exported);
    const withEndpoints = join(folder(), 'export');
    await log.audit.export(withEndpoints, { kinds: ['policy_log', 'endpoint_change'] });

    expect(await verifyExport(exported, { verifierKey })).toMatchObject({ verified: 3, withheld: 5, findings: [] });
    expect(await verifyExport(withEndpoints, { verifierKey })).toMatchObject({
      verified: 6,
      withheld: 2,
      findings: [],
    });
    const everything = [exported, withEndpoints].flatMap(textsIn).join('\n');
    expect(everything).toContain('because 1');
    expect(everything).not.toMatch(/alert|Tortoise|hare|customer_77/);
  });
});

test.each([
  ['a comment', `update moonguard.alert_timeline set reason = 'x' where action = 'commented'`, 'changed'],
  [
    'the time of a step',
    `update moonguard.alert_timeline set at = at - interval '1 day' where action = 'commented'`,
    'changed',
  ],
  [
    'what an endpoint was',
    `update moonguard.endpoint_changes set before = '{}' where after ->> 'status' = 'inactive'`,
    'changed',
  ],
  ['who changed it', `update moonguard.endpoint_changes set actor = 'anna' where actor = 'ben'`, 'changed'],
  ['a step that is gone', `delete from moonguard.alert_timeline where action = 'commented'`, 'missing'],
  ['a change that is gone', `delete from moonguard.endpoint_changes where actor = 'ben'`, 'missing'],
  [
    'a step that never was',
    `insert into moonguard.alert_timeline (alert_id, alert_version, actor, action, before, after)
      select alert_id, 1, 'ben', 'changed', '{}', '{}' from moonguard.alert_timeline limit 1`,
    'added',
  ],
])('%s is named', async (_what, statement, kind) => {
  const log = await eventfulLog(await openTestDatabase('postgres'));
  await log.tamper(statement);
  expect((await log.audit.verify()).findings).toMatchObject([{ kind }]);
});

function textsIn(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .map((name) => join(directory, name))
    .filter((file) => statSync(file).isFile())
    .map((file) => readFileSync(file, 'latin1'));
}
