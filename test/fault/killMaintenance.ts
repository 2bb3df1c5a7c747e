import { fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished } from 'vitest';
import type { Log } from '../support/auditLog.ts';
import type { Moment, StatementProxy } from './statementProxy.ts';

/** Where a process is killed: at the last of these statements, when it comes after the others. */
export interface Death {
  readonly statements: readonly RegExp[];
  readonly moment: Moment;
}

/**
 * Lets a process remove, or archive into a directory, until it is killed with -9; resolves when the database has noticed.
 * Fails when the process ends before.
 */
export async function killMaintenance(
  log: Log,
  proxy: StatementProxy,
  { statements, moment }: Death,
  directory?: string,
): Promise<void> {
  const args = [proxy.url, ...(directory === undefined ? [] : [directory])];
  const child = fork(new URL('./maintenanceProcess.ts', import.meta.url), args, { execArgv: [] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  const ended = once(child, 'exit');
  const dies = async (): Promise<void> => {
    for (const statement of statements.slice(0, -1)) {
      const goOn = await proxy.hold(statement);
      goOn();
    }
    await proxy.strike(statements.at(-1) ?? /^/, moment, () => child.kill('SIGKILL'));
  };
  const died = dies();
  child.send('go');
  const [code, signal]: unknown[] = await ended;
  expect([code, signal], `killed at ${statements.join(', ')}`).toEqual([null, 'SIGKILL']);
  await died;
  await untilNobodyHoldsLocks(log);
}

/** A transaction whose client is gone ends on its own time. */
async function untilNobodyHoldsLocks(log: Log): Promise<void> {
  const held = () =>
    log.run(
      `select pid from pg_locks where locktype = 'advisory' and database = (select oid from pg_database where datname = current_database())`,
    );
  await expect.poll(held).toEqual([]);
}
