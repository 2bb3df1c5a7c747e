import { fork } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { sql } from 'kysely';
import { expect, onTestFinished, test } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { decideBatch } from '../../src/policy/decide.ts';
import { policyService } from '../support/policies.ts';
import { publishSamplePolicies } from '../support/samplePolicies.ts';
import { scenarioEvents, storeAll } from '../support/scenarioEvents.ts';
import { openTestDatabase } from '../support/testDatabase.ts';

const EVENTS = 360;
const KILLS = 20;
/** Queries that a process may live through: one batch and a half. */
const LONGEST_LIFE = 40;

const deciderProcess = new URL('./deciderProcess.ts', import.meta.url);

test('processes that decide are killed twenty times with -9, in the middle of a batch: each event is decided once', {
  timeout: 180_000,
}, async () => {
  const events = scenarioEvents(EVENTS);
  const open = async () => {
    const database = await openTestDatabase('postgres');
    onTestFinished(() => database.close());
    await publishSamplePolicies(policyService(database));
    await storeAll(database, events);
    return database;
  };
  const killed = await open();
  const moments = Array.from({ length: KILLS }, () => randomInt(1, LONGEST_LIFE));
  const lives = moments.values();
  // Two at a time: what one leaves behind the other takes, while it goes on.
  await Promise.all(
    [1, 2].map(async () => {
      for (const moment of lives) expect(await runDecider(killed.url, moment)).toBe('SIGKILL');
    }),
  );
  const message = `killed at queries ${moments.join(', ')}`;
  const decidedBefore = await countDecided(killed);
  expect(decidedBefore, message).toBeLessThan(EVENTS);
  expect(await runDecider(killed.url), message).toBe(0);

  // The same events, in other batches, by one process that nobody kills.
  const spared = await open();
  const deciding = { ...policyService(spared).deciding, observe: () => {} };
  while ((await decideBatch(deciding, 100)) > 0);

  for (const [what, query] of Object.entries(effects)) {
    const expected = await sql.raw(query).execute(spared.db);
    expect(expected.rows, what).not.toEqual([]);
    expect((await sql.raw(query).execute(killed.db)).rows, `${what}; ${message}`).toEqual(expected.rows);
  }
  expect(await countDecided(killed)).toBe(EVENTS);
});

/** What deciding left, without what differs by nature: new ids, and times. */
const effects = {
  events: `
    select id, processed, processing_attempts, last_processing_error from moonpay_webhook_events order by id`,
  decisions: `
    select correlation_id, count(*), min(rule_results ->> 'digest') as digest from moonpay_policy_logs
    where decision_id = id group by 1 order by 1`,
  'rows of rules': `
    select correlation_id, policy_id, rule_conditions ->> 'rule' as rule, action_type, count(*), min((rule_results - 'values')::text) as results
    from moonpay_policy_logs where decision_id is distinct from id and correlation_id is not null
    group by 1, 2, 3, 4 order by 1, 2, 3, 4`,
  alerts: `
    select dedupe_key, alert_type, severity, title, occurrence_count from moonpay_compliance_alerts order by 1`,
  approvals: `
    select policy_id, rule_id, entity_id, correlation_id, status from moonguard.policy_approvals order by 1, 2, 3, 4`,
} as const;

async function countDecided({ db }: Pick<Database, 'db'>): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) from moonpay_webhook_events where processed`.execute(
    db,
  );
  return rows[0]?.count ?? 0;
}

/** Ends with its exit code, or the signal that ended it. */
async function runDecider(databaseUrl: string, killedAt?: number): Promise<unknown> {
  const args = killedAt === undefined ? [databaseUrl] : [databaseUrl, String(killedAt)];
  const child = fork(deciderProcess, args, { execArgv: [], stdio: 'inherit' });
  const [code, signal]: unknown[] = await once(child, 'exit');
  return signal ?? code;
}
