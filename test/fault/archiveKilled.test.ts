import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { ArchivedLog } from '../support/archives.ts';
import { openTestDatabase } from '../support/testDatabase.ts';
import { type Death, killMaintenance } from './killMaintenance.ts';
import { statementProxy } from './statementProxy.ts';

const claiming = /update moonguard\.archives set claimed_by/;
const saysWritten = /set state = 'written'/;
const saysVerified = /set state = 'verified'/;

/** In the order of a run: each goes on where the one before was killed. */
const deaths: readonly (readonly [what: string, death: Death, state: string])[] = [
  ['before the first row', { statements: [claiming], moment: 'after' }, 'planned'],
  ['with half a file', { statements: [claiming, claiming], moment: 'after' }, 'planned'],
  ['with files and no manifest', { statements: [claiming, claiming, claiming], moment: 'after' }, 'planned'],
  ['with a manifest that nobody knows of', { statements: [saysWritten], moment: 'before' }, 'planned'],
  ['after it was written', { statements: [saysWritten], moment: 'after' }, 'written'],
  ['while it is compared', { statements: [claiming, claiming], moment: 'after' }, 'written'],
  ['compared, before that is said', { statements: [saysVerified], moment: 'before' }, 'written'],
  ['after it was verified', { statements: [saysVerified], moment: 'after' }, 'verified'],
];

test('an archive run that is killed with -9 at any step archives each row once, and nothing goes before it is verified', {
  timeout: 120_000,
}, async () => {
  const database = await openTestDatabase('postgres');
  const archived = await ArchivedLog.open(database);
  const { log, directory } = archived;
  const proxy = await statementProxy(database.url);
  await archived.add('2026-09', 0, 49);
  await archived.archives.requireBeforeRemoval(true);
  const rows = async () => (await log.run(`select log_id from moonpay_policy_logs where log_id like 'row_%'`)).length;

  for (const [what, death, state] of deaths) {
    await killMaintenance(log, proxy, death, directory);
    expect(await log.run('select state from moonguard.archives'), what).toEqual([{ state }]);
    await log.run(`select cleanup_old_moonpay_policy_logs('2040-01-01')`);
    expect(await rows(), what).toBe(state === 'verified' ? 0 : 50);
    // As if the time of the killed run's claim had passed.
    await log.run(`update moonguard.archives set claimed_until = now() - interval '1 s' where claimed_by is not null`);
  }
  expect(await archived.archives.run()).toEqual({ status: 'finished', archives: [] });
  expect(await archived.verify()).toMatchObject([{ verified: 50, findings: [] }]);
  const found = await archived.archives.search({ limit: 100 });
  expect(new Set(found.map(({ entry }) => entry.logId))).toHaveLength(50);
  expect(found).toHaveLength(50);
  await log.sequence();
  expect(await log.audit.verify()).toMatchObject({ removed: 50, findings: [] });
  // What killed runs had begun.
  expect(readdirSync(join(directory, '.unfinished'))).toEqual([]);
});
