import type { Database } from '../database/database.ts';
import { listJobs } from '../jobs/store/listJobs.ts';
import { type Check, ok, problem, warning } from './check.ts';

/** What should have been done by now, and what cannot be done. */
export async function checkJobs(database: Database): Promise<Check> {
  const jobs = await listJobs(database.db);
  const failing = jobs.filter(({ failures }) => failures > 0);
  const late = jobs.filter(({ state }) => state === 'late');
  if (failing.length > 0) {
    const message = failing.map(({ name, failures, lastError }) => `${name} failed ${failures} times: ${lastError}`);
    return problem('jobs', message.join('; '), 'See moonguard jobs list; try again with moonguard jobs run <name>.');
  }
  if (late.length > 0) {
    const message = late.map(({ name, nextAt }) => `${name} since ${nextAt.toISOString()}`).join(', ');
    return warning('jobs', `overdue: ${message}`, 'Is a server or worker running? Start one with moonguard start.');
  }
  const paused = jobs.filter(({ state }) => state === 'paused').map(({ name }) => name);
  return ok('jobs', paused.length === 0 ? 'none overdue, none failing' : `none failing; paused: ${paused.join(', ')}`);
}
