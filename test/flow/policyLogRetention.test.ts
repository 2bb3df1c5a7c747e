import { join } from 'node:path';
import { expect, test } from 'vitest';
import { verifyExport, verifyProof } from '../../src/audit/AuditService.ts';
import { HoldService } from '../../src/retention/HoldService.ts';
import { RetentionService } from '../../src/retention/RetentionService.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { asUser, type User } from '../support/asUser.ts';
import { folder, Log } from '../support/auditLog.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

interface OldRow {
  readonly name: string;
  readonly monthsAgo: number;
  /** Further columns as SQL. */
  readonly with?: Readonly<Record<string, string>>;
}

/** A policy log with a past: rows of months ago, each in the tree. */
class PastLog {
  readonly log: Log;
  readonly retention: RetentionService;
  readonly holds: HoldService;

  private constructor(log: Log) {
    this.log = log;
    this.retention = new RetentionService({ database: log.database, runtime: systemRuntime, settings: {} });
    this.holds = new HoldService({ database: log.database });
  }

  static async open(database: TestDatabase, rows: readonly OldRow[]): Promise<PastLog> {
    const past = new PastLog(await Log.open(database));
    await past.add(rows);
    return past;
  }

  async add(rows: readonly OldRow[]): Promise<void> {
    for (const { name, monthsAgo, with: columns = {} } of rows) {
      const month = `date_trunc('month', now() at time zone 'UTC') - interval '${monthsAgo} months'`;
      await this.log.run(`select moonguard.ensure_policy_log_partition((${month})::date)`);
      const given = {
        customer_id: `'customer of ${name}'`,
        reason: `'secret of ${name}'`,
        rule_results: `'{"name": "person of ${name}"}'`,
        ...columns,
      };
      await this.log.run(`insert into moonpay_policy_logs (log_id, policy_id, action_type, executed_at, ${Object.keys(given).join(', ')})
        values ('${name}', 'kyc', 'rule_triggered', (${month}) at time zone 'UTC' + interval '1 day', ${Object.values(given).join(', ')})`);
    }
    await this.log.sequence();
  }

  async names(): Promise<unknown[]> {
    const rows = await this.log.run(
      `select log_id from moonpay_policy_logs where policy_id = 'kyc' order by log_id collate "C"`,
    );
    return rows.map(({ log_id }) => log_id);
  }

  /** What the database holds of a row, in whatever table. */
  async traces(name: string): Promise<unknown[]> {
    const rows = await this.log.run(`
      select 'log' as place from moonpay_policy_logs l where to_jsonb(l)::text like '% of ${name}"%'
      union all select 'salts' from moonguard.audit_leaves a join moonpay_policy_logs l on l.id = a.row_id
        where l.log_id = '${name}' and substr(a.salts, 1, 128) <> decode(repeat('00', 128), 'hex')
      union all select 'leaf' from moonguard.audit_leaves a where not exists (select from moonpay_policy_logs l where l.id = a.row_id)`);
    return rows.map(({ place }) => place);
  }

  async partitions(): Promise<unknown> {
    const [row] = await this.log.run(
      `select count(*) as count from pg_inherits where inhparent = 'moonpay_policy_logs'::regclass`,
    );
    return row?.['count'];
  }
}

const YEARS_8 = 97;

forEachDatabase('retention of the policy log', (open) => {
  test('removes what is past, keeps what is held, and leaves every proof and the verification valid', {
    timeout: 60_000,
  }, async () => {
    const past = await PastLog.open(await open(), [
      { name: 'gone_1', monthsAgo: YEARS_8 },
      { name: 'gone_2', monthsAgo: YEARS_8, with: { retention_class: "'unheard_of'" } },
      { name: 'past', monthsAgo: YEARS_8 + 1 },
      { name: 'held', monthsAgo: YEARS_8 + 1, with: { customer_id: "'customer_7'" } },
      { name: 'open', monthsAgo: YEARS_8 + 1, with: { follow_up_required: 'true' } },
      { name: 'followed_up', monthsAgo: YEARS_8 + 1, with: { follow_up_required: 'true' } },
      { name: 'until', monthsAgo: YEARS_8 + 1, with: { retain_until: "now() + interval '1 day'" } },
      { name: 'sanctions', monthsAgo: YEARS_8 + 1, with: { retention_class: "'us_sanctions'" } },
      { name: 'long', monthsAgo: YEARS_8 + 1, with: { retention_period_days: '4000' } },
      { name: 'short', monthsAgo: 2, with: { retention_period_days: '30' } },
      { name: 'fresh', monthsAgo: 2 },
      { name: 'eu', monthsAgo: 62, with: { retention_class: "'eu_aml'" } },
      { name: 'eu_held', monthsAgo: 62, with: { retention_class: "'eu_aml'", customer_id: "'customer_7'" } },
      { name: 'answer', monthsAgo: 0, with: { metadata: `'{"follows_up": "followed_up"}'` } },
    ]);
    const { log, retention } = past;
    const hold = await past.holds.place({ customerId: 'customer_7', reason: 'Case 7' }, { actor: 'otto' });
    await log.sequence();
    const { verifierKey } = await log.audit.checkpoint();
    const proofs = await Promise.all((await past.names()).map((name) => log.audit.prove(String(name))));
    const partitions = Number(await past.partitions());

    const plan = await retention.plan();
    expect(plan.policyLogs.map(({ action, retentionClass, rows }) => `${action} ${retentionClass} ${rows}`)).toEqual([
      'remove standard 2',
      'drop standard 1',
      'drop unheard_of 1',
      'erase eu_aml 1',
      'remove standard 1',
    ]);
    expect(await past.names()).toHaveLength(14);
    expect(await retention.run()).toEqual({ status: 'finished', ...plan });
    expect((await retention.run()).policyLogs).toEqual([]);

    const left = ['answer', 'eu', 'eu_held', 'fresh', 'held', 'long', 'open', 'sanctions', 'until'];
    expect(await past.names()).toEqual(left);
    expect(await past.partitions()).toBe(partitions - 1);
    for (const name of ['gone_1', 'gone_2', 'past', 'short', 'eu']) expect(await past.traces(name)).toEqual([]);
    expect(await past.traces('eu_held')).toEqual(['log', 'salts']);

    // Before and after what was done is in the tree itself.
    for (const size of [15, 19]) {
      expect(await log.audit.verify()).toMatchObject({ size, removed: 5, verified: size - 5, findings: [] });
      await log.sequence();
    }
    for (const proof of proofs) expect(verifyProof(proof, verifierKey).checkpoint.size).toBe(15n);
    const bundle = verifyProof(await log.audit.prove('eu'), verifierKey);
    expect(Array.from(bundle.entry.groups.keys())).toEqual(['rest']);
    const exported = join(folder(), 'export');
    await log.audit.export(exported);
    expect(await verifyExport(exported, { verifierKey })).toMatchObject({ removed: 5, findings: [] });
    const said = await log.run(`select metadata ->> 'rows' as rows, metadata ->> 'classes' as classes,
      metadata -> 'leaf_indexes' is not null as leaves, length(metadata ->> 'ids_digest') as digest
      from moonpay_policy_logs where policy_id in ('moonguard_retention', 'moonguard_erasure') order by executed_at, id`);
    expect(said).toEqual([
      { rows: '2', classes: '{"standard": 2}', leaves: true, digest: 64 },
      { rows: '2', classes: '{"standard": 1, "unheard_of": 1}', leaves: true, digest: 64 },
      { rows: '1', classes: '{"standard": 1}', leaves: true, digest: 64 },
      { rows: '1', classes: null, leaves: true, digest: 64 },
    ]);

    await past.holds.lift(hold.id, 'Closed', { actor: 'maria' });
    expect((await retention.run()).policyLogs).toMatchObject([
      { action: 'remove', retentionClass: 'standard', rows: 1 },
      { action: 'erase', retentionClass: 'eu_aml', rows: 1 },
    ]);
    expect(await past.traces('held')).toEqual([]);
    await log.sequence();
    expect(await log.audit.verify()).toMatchObject({ findings: [] });
  });

  test('erases a customer before the time, unless a hold or the law keeps a row', async () => {
    const customer = { customer_id: "'customer_7'" };
    const past = await PastLog.open(await open(), [
      { name: 'one', monthsAgo: 3, with: customer },
      { name: 'two', monthsAgo: 2, with: { entity_type: "'customer'", entity_id: "'customer_7'" } },
      { name: 'held', monthsAgo: 2, with: { ...customer, transaction_id: "'t'" } },
      { name: 'law', monthsAgo: 2, with: { ...customer, retention_class: "'us_sar'" } },
      { name: 'other', monthsAgo: 2 },
    ]);
    const { log, retention } = past;
    await past.log.run(`insert into moonpay_policy_logs (log_id, policy_id, action_type, customer_id, reason)
      values ('unsequenced', 'kyc', 'rule_triggered', 'customer_7', 'secret of unsequenced')`);
    await past.holds.place({ transactionId: 't', reason: 'Case 7' });
    const { verifierKey } = await log.audit.checkpoint();
    const proof = await log.audit.prove('one');

    const input = { customerId: 'customer_7', reason: 'Request 12' };
    expect(await retention.erase(input, { actor: 'otto' })).toEqual({
      erased: 3,
      held: 1,
      required: 1,
      events: undefined,
    });
    expect(await retention.erase(input)).toMatchObject({ erased: 0, held: 1, required: 1 });
    for (const name of ['one', 'two', 'unsequenced']) expect(await past.traces(name)).toEqual([]);
    for (const name of ['held', 'law', 'other']) expect(await past.traces(name)).toEqual(['log', 'salts']);

    await log.sequence();
    expect(await log.audit.verify()).toMatchObject({ verified: 8, removed: 0, findings: [] });
    expect(verifyProof(proof, verifierKey).entry.groups.get('words')?.content).toContain('secret of one');
    expect(Array.from(verifyProof(await log.audit.prove('two'), verifierKey).entry.groups.keys())).toEqual(['rest']);
    const [record] = await log.run(
      `select executed_by, reason, metadata ->> 'rows' as rows from moonpay_policy_logs where policy_id = 'moonguard_erasure'`,
    );
    expect(record).toEqual({ executed_by: 'otto', reason: 'Request 12', rows: '3' });

    await log.tamper(`update moonpay_policy_logs set reason = 'put back' where log_id = 'one'`);
    expect(await log.audit.verify()).toMatchObject({ findings: [{ kind: 'changed', logId: 'one' }] });
    await expect(retention.erase({ customerId: '', reason: '' })).rejects.toMatchObject({ code: 'erasure_invalid' });
  });

  test('a removal that the log does not tell of is found', async () => {
    const log = await Log.signed(await open(), 10);
    await log.tamper(`with gone as (delete from moonpay_policy_logs where log_id = 'row_3' returning id)
      delete from moonguard.audit_leaves where row_id in (select id from gone)`);
    await log.tamper(
      `insert into moonguard.audit_removals (leaf_indexes, record_id) values ('{[3,4)}', gen_random_uuid())`,
    );
    expect(await log.audit.verify()).toMatchObject({ removed: 1, findings: [{ kind: 'unrecorded', index: 3 }] });
  });

  test('what says that rows were removed may go in turn: what comes then says it too', async () => {
    const past = await PastLog.open(await open(), [
      { name: 'old', monthsAgo: YEARS_8 },
      { name: 'sanctions', monthsAgo: 1, with: { retention_class: "'us_sanctions'" } },
    ]);
    const { log, retention } = past;
    await retention.run();
    await log.sequence();
    const [later] = await log.run(`select now() + interval '2600 days' as now`);
    const now = later?.['now'];
    if (!(now instanceof Date)) throw new TypeError('no time');
    expect((await retention.run({ now })).policyLogs).toMatchObject([{ rows: 1 }]);
    expect(await past.names()).toEqual(['sanctions']);
    await log.sequence();
    expect(await log.audit.verify()).toMatchObject({ size: 4, verified: 2, removed: 2, findings: [] });
  });

  test('holds are said in the log, listed, lifted once and never changed', async () => {
    const past = await PastLog.open(await open(), []);
    const { holds, log } = past;
    const hold = await holds.place(
      { policyId: 'kyc', from: new Date('2026-01-01'), reason: 'Case 7' },
      { actor: 'otto' },
    );
    expect(hold).toMatchObject({ policyId: 'kyc', setBy: 'otto', liftedAt: null });
    expect((await holds.list({ inForce: true })).items).toEqual([hold]);
    await expect(log.run(`update moonguard.legal_holds set reason = 'x'`)).rejects.toThrow('never changed');
    await expect(log.run(`delete from moonguard.legal_holds`)).rejects.toThrow('never changed');
    expect(await holds.lift(hold.id, 'Closed', { actor: 'maria' })).toMatchObject({
      liftedBy: 'maria',
      liftedReason: 'Closed',
    });
    await expect(holds.lift(hold.id, 'Again')).rejects.toMatchObject({ code: 'hold_lifted' });
    expect((await holds.list({ inForce: true })).items).toEqual([]);
    expect(
      await log.run(
        `select action_type, executed_by, reason from moonpay_policy_logs where policy_id = 'moonguard_legal_hold' order by id`,
      ),
    ).toEqual([
      { action_type: 'policy_activated', executed_by: 'otto', reason: 'Case 7' },
      { action_type: 'policy_deactivated', executed_by: 'maria', reason: 'Closed' },
    ]);
    for (const input of [
      { reason: 'x' },
      { reason: ' ', policyId: 'p' },
      { reason: 'x', from: new Date(1), to: new Date(0) },
    ]) {
      await expect(holds.place(input)).rejects.toMatchObject({ code: 'hold_invalid' });
    }
    await expect(holds.get('x')).rejects.toMatchObject({ code: 'hold_not_found' });
  });
});

test('a month that somebody reads loses its rows in batches, and goes as a whole the next time', async () => {
  const past = await PastLog.open(await openTestDatabase('postgres'), [
    { name: 'one', monthsAgo: YEARS_8 },
    { name: 'two', monthsAgo: YEARS_8 },
  ]);
  const { database } = past.log;
  const partitions = Number(await past.partitions());
  await database.transaction(async (transaction) => {
    await transaction.selectFrom('moonpay_policy_logs').select('id').execute();
    expect((await past.retention.run()).policyLogs).toMatchObject([{ action: 'remove', rows: 2 }]);
  });
  expect(await past.partitions()).toBe(partitions);
  await past.retention.run();
  expect(await past.partitions()).toBe(partitions - 1);
  expect(await past.log.audit.verify()).toMatchObject({ removed: 2, findings: [] });
});

test('a change of a retention class is said in the log, and holds for rows that are there', async () => {
  const past = await PastLog.open(await openTestDatabase('postgres'), [
    { name: 'sanctions', monthsAgo: YEARS_8, with: { retention_class: "'us_sanctions'" } },
  ]);
  expect((await past.retention.plan()).policyLogs).toEqual([]);
  await past.log.run(`update moonguard.retention_rules set days = 365 where retention_class = 'us_sanctions'`);
  expect((await past.retention.plan()).policyLogs).toMatchObject([{ retentionClass: 'us_sanctions', rows: 1 }]);
  const [said] = await past.log.run(
    `select before_state ->> 'days' as before, after_state ->> 'days' as after from moonpay_policy_logs where action_type = 'policy_updated'`,
  );
  expect(said).toEqual({ before: '3653', after: '365' });
});

test('in a transaction of a signed-in user, holds are placed and seen by the roles that may', async () => {
  const { holds, log } = await PastLog.open(await openTestDatabase('postgres'), []);
  const place = (role: User['role']) =>
    asUser(log.database, { sub: 'otto', role }, (transaction) =>
      holds.place({ policyId: 'kyc', reason: 'Case 7' }, { transaction, actor: 'somebody else' }),
    );
  const seen = (role: User['role']) =>
    asUser(log.database, { sub: 'otto', role }, async (transaction) => (await holds.list({}, { transaction })).items);
  expect(await place('compliance_officer')).toMatchObject({ setBy: 'otto' });
  for (const role of ['compliance_analyst', 'auditor', 'developer'] as const) {
    await expect(place(role)).rejects.toThrow('row-level security');
  }
  expect(await seen('auditor')).toMatchObject([{ reason: 'Case 7', setBy: 'otto' }]);
  for (const role of ['compliance_analyst', 'developer'] as const) {
    await expect(seen(role).catch(() => [])).resolves.toEqual([]);
  }
});
