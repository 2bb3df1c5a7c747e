import type { Database } from '../database/database.ts';
import { schemaStatus } from '../database/migrate.ts';
import { type Check, ok, type Patient, problem, warning } from './check.ts';
import { checkAuditLog } from './checkAuditLog.ts';
import { checkDeliveries } from './checkDeliveries.ts';
import { checkJobs } from './checkJobs.ts';
import { checkMasterKey, checkProviderKeys } from './checkKeys.ts';
import { checkNotifications } from './checkNotifications.ts';
import { findOpenFindings } from './store/findOpenFindings.ts';
import { findUnprotectedTables } from './store/findUnprotectedTables.ts';
import { readPolicyLogPartitions } from './store/readPolicyLogPartitions.ts';
import { readRoles } from './store/readRoles.ts';
import { readServer, type ServerFacts } from './store/readServer.ts';

const OLDEST_POSTGRES = 15;
/** Leases and retries live on the database's clock, signatures' age on this machine's. */
const WORTH_A_WARNING_MS = 2_000;
const TOO_FAR_MS = 30_000;

/** Looks at everything that an installation needs in order to work. Changes nothing. Rejects when the database is away. */
export async function examine(patient: Patient): Promise<Check[]> {
  const { database, runtime } = patient;
  const askedAtMs = runtime.now();
  const server = await readServer(database.db);
  const halfWayMs = (askedAtMs + runtime.now()) / 2;
  const basics = [checkServer(server, database), checkClock(server.clock.getTime() - halfWayMs)];
  if (server.majorVersion < OLDEST_POSTGRES) return basics;

  const schema = await checkSchema(database);
  if (schema.status === 'problem') return [...basics, schema];
  return [
    ...basics,
    schema,
    await checkProtection(database),
    await checkRoles(database, server.currentUser),
    await checkProviderKeys(patient),
    await checkMasterKey(patient),
    await checkPolicyLog(database),
    await checkAuditLog(database),
    await checkNotifications(patient),
    await checkFindings(database),
    await checkDeliveries(database),
    await checkJobs(database),
  ];
}

function checkServer(server: ServerFacts, { kind }: Database): Check {
  if (kind === 'embedded') {
    return ok(
      'database',
      `embedded (PostgreSQL ${server.version}); its writes survive a killed process, not a loss of power`,
    );
  }
  const where = `PostgreSQL ${server.version}, database ${server.database}, as ${server.currentUser}`;
  return server.majorVersion < OLDEST_POSTGRES
    ? problem('database', where, `Use PostgreSQL ${OLDEST_POSTGRES} or newer.`)
    : ok('database', where);
}

function checkClock(aheadMs: number): Check {
  const difference = Math.abs(aheadMs);
  if (difference < WORTH_A_WARNING_MS) return ok('clock', 'this machine and the database agree');
  const message = `the database is ${(difference / 1000).toFixed(1)} s ${aheadMs > 0 ? 'ahead of' : 'behind'} this machine`;
  const action =
    'Set both by NTP: the age of a signature is judged by this machine, leases and retries by the database.';
  return difference < TOO_FAR_MS ? warning('clock', message, action) : problem('clock', message, action);
}

async function checkSchema(database: Database): Promise<Check> {
  const { current, wanted, pending, newer } = await schemaStatus(database);
  if (newer) {
    return problem('schema', `version ${current}, newer than this program's ${wanted}`, 'Update Moonguard.');
  }
  if (pending.length > 0) {
    return problem(
      'schema',
      `version ${current} of ${wanted}; missing: ${pending.join(', ')}`,
      'Run moonguard migrate.',
    );
  }
  return ok('schema', `version ${current}, as this program needs it`);
}

async function checkProtection(database: Database): Promise<Check> {
  const open = await findUnprotectedTables(database.db);
  const ours = open.filter(({ isAdopted }) => !isAdopted);
  const adopted = open.filter(({ isAdopted }) => isAdopted);
  const enable = open.map(({ name }) => `alter table ${name} enable row level security;`).join(' ');
  const message = `off on ${open.map(({ name }) => name).join(', ')}`;
  if (ours.length > 0) return problem('row level security', message, enable);
  if (adopted.length > 0) {
    return warning(
      'row level security',
      `${message}: tables from before Moonguard, left as they were`,
      `If no other program needs them open: ${enable} select moonguard.protect_existing_tables();`,
    );
  }
  return ok('row level security', 'on for every table');
}

async function checkRoles(database: Database, currentUser: string): Promise<Check> {
  const roles = await readRoles(database.db);
  const missing = roles.filter(({ exists }) => !exists).map(({ role }) => role);
  const closed = roles.filter(({ exists, canSwitch }) => exists && !canSwitch).map(({ role }) => role);
  if (missing.length > 0) {
    return problem(
      'roles',
      `missing: ${missing.join(', ')}`,
      missing.map((role) => `create role ${role} nologin;`).join(' '),
    );
  }
  if (closed.length > 0) {
    const action = `As an administrator: grant ${closed.join(', ')} to "${currentUser}";`;
    return problem('roles', `${currentUser} may not act as ${closed.join(', ')}`, action);
  }
  return ok('roles', roles.map(({ role }) => role).join(', '));
}

async function checkPolicyLog(database: Database): Promise<Check> {
  const { missingMonths, rowsInDefault } = await readPolicyLogPartitions(database.db);
  const action = 'select moonguard.ensure_policy_log_partitions();';
  if (missingMonths.length > 0) {
    return warning('policy log', `no partition for ${missingMonths.join(', ')}: rows go into the default one`, action);
  }
  if (rowsInDefault > 0) {
    return warning(
      'policy log',
      `${rowsInDefault} rows in the default partition`,
      "Make the partitions of their months: select moonguard.ensure_policy_log_partition('2020-01-01');",
    );
  }
  return ok('policy log', 'partitions of this month and the next three are there');
}

async function checkFindings(database: Database): Promise<Check> {
  const findings = await findOpenFindings(database.db);
  if (findings.length === 0) return ok('installation', 'the installer left nothing to be done');
  const lines = findings.map(({ id, tableName, rowKey, reason, resolution }) =>
    [`#${id}`, tableName, rowKey, `${reason} – ${resolution}`].filter((part) => part !== null).join(' '),
  );
  const action = 'Do what each says, then: delete from moonguard.installation_findings where id = <number>;';
  return warning('installation', lines.join('\n'), action);
}
