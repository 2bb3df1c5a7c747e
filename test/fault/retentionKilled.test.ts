import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { HoldService } from '../../src/retention/HoldService.ts';
import { RetentionService } from '../../src/retention/RetentionService.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { Log } from '../support/auditLog.ts';
import { openTestDatabase } from '../support/testDatabase.ts';
import { type Death, killMaintenance } from './killMaintenance.ts';
import { statementProxy } from './statementProxy.ts';

const removing = /from moonguard\.remove_expired_policy_logs/;
const erasing = /moonguard\.erase_policy_logs/;

/** In the order of a run: each goes on where the one before was killed. */
const deaths: readonly (readonly [what: string, death: Death, left: Readonly<Record<string, number>>])[] = [
  ['before anything', { statements: [removing], moment: 'before' }, { whole: 30, mixed: 4100, personal: 5 }],
  ['after a month was dropped', { statements: [removing], moment: 'after' }, { mixed: 4100, personal: 5 }],
  ['after a batch', { statements: [removing], moment: 'after' }, { mixed: 2100, personal: 5 }],
  ['between two batches', { statements: [removing, removing], moment: 'before' }, { mixed: 100, personal: 5 }],
  ['after the last batch', { statements: [removing], moment: 'after' }, { mixed: 1, personal: 5 }],
  ['before the erasure', { statements: [erasing], moment: 'before' }, { mixed: 1, personal: 5 }],
  ['after the erasure, before its commit', { statements: [erasing], moment: 'after' }, { mixed: 1, personal: 5 }],
  ['after the commit', { statements: [erasing, /^commit/], moment: 'after' }, { mixed: 1 }],
];

test('a retention run that is killed with -9 at any step removes and erases everything once, and the log says what', {
  timeout: 120_000,
}, async () => {
  const database = await openTestDatabase('postgres');
  const log = await Log.open(database);
  const proxy = await statementProxy(database.url);
  await new HoldService({ database }).place({ customerId: 'mixed 7', reason: 'Case 7' });
  await past(log, 'whole', { monthsAgo: 98, rows: 30 });
  await past(log, 'mixed', { monthsAgo: 97, rows: 4100 });
  await past(log, 'personal', { monthsAgo: 62, rows: 5, retentionClass: 'eu_aml' });
  while ((await log.sequence()).outcome === 'sequenced' && (await log.audit.progress()).queued > 0);
  const before = await idsByKind(log);

  for (const [what, death, left] of deaths) {
    await killMaintenance(log, proxy, death);
    const now = await log.run(`select policy_id as kind, count(*)::int as rows from moonpay_policy_logs
      where policy_id in ('whole', 'mixed', 'personal') and customer_id is not null group by 1`);
    expect(Object.fromEntries(now.map(({ kind, rows }) => [kind, rows])), what).toEqual(left);
    await log.sequence();
    expect(await log.audit.verify(), what).toMatchObject({
      removed: 4135 - (left['whole'] ?? 0) - (left['mixed'] ?? 0) - 5,
      findings: [],
    });
  }
  const retention = new RetentionService({ database, runtime: systemRuntime, settings: {} });
  expect((await retention.run()).policyLogs).toEqual([]);

  const said =
    await log.run(`select policy_id as by, (metadata ->> 'rows')::int as rows, metadata ->> 'ids_digest' as digest
    from moonpay_policy_logs where policy_id in ('moonguard_retention', 'moonguard_erasure') order by id`);
  const held = await log.run(`select id from moonpay_policy_logs where customer_id = 'mixed 7'`);
  const gone = (before['mixed'] ?? []).filter((id) => !held.some((row) => row['id'] === id));
  expect(said).toEqual([
    { by: 'moonguard_retention', rows: 30, digest: digestOf(before['whole']) },
    { by: 'moonguard_retention', rows: 2000, digest: digestOf(gone.slice(0, 2000)) },
    { by: 'moonguard_retention', rows: 2000, digest: digestOf(gone.slice(2000, 4000)) },
    { by: 'moonguard_retention', rows: 99, digest: digestOf(gone.slice(4000)) },
    { by: 'moonguard_erasure', rows: 5, digest: digestOf(before['personal']) },
  ]);
});

/** Rows of a month, each about a customer of its own. */
async function past(
  log: Log,
  kind: string,
  { monthsAgo, rows, retentionClass = 'standard' }: { monthsAgo: number; rows: number; retentionClass?: string },
): Promise<void> {
  const month = `(date_trunc('month', now() at time zone 'UTC') - interval '${monthsAgo} months')`;
  await log.run(`select moonguard.ensure_policy_log_partition(${month}::date)`);
  await log.run(`insert into moonpay_policy_logs (log_id, policy_id, action_type, customer_id, retention_class, executed_at)
    select '${kind} ' || n, '${kind}', 'rule_triggered', '${kind} ' || n, '${retentionClass}', ${month} at time zone 'UTC' + n * interval '1 second'
    from generate_series(1, ${rows}) as n`);
}

async function idsByKind(log: Log): Promise<Readonly<Record<string, string[]>>> {
  const rows = await log.run(
    'select policy_id as kind, array_agg(id::text order by id) as ids from moonpay_policy_logs group by 1',
  );
  return Object.fromEntries(rows.map(({ kind, ids }) => [String(kind), Array.isArray(ids) ? ids.map(String) : []]));
}

/** As docs/retention.md has it. */
function digestOf(ids: readonly string[] = []): string {
  return createHash('sha256').update(ids.join(',')).digest('hex');
}
