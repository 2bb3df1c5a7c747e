import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { expect, onTestFinished, test } from 'vitest';
import { Sequencer } from '../../src/audit/Sequencer.ts';
import { sequenceBatch } from '../../src/audit/sequenceBatch.ts';
import type { Signer } from '../../src/audit/signedNote.ts';
import { connectDatabase } from '../../src/database/connect.ts';
import type { Database } from '../../src/database/database.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { Log, logKey } from '../support/auditLog.ts';
import { type Observed, observed } from '../support/signals.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';
import { type StatementProxy, statementProxy } from './statementProxy.ts';

/** Everything that a sequencer says to the database for a batch, in this order. */
const batch: Readonly<Record<string, RegExp>> = {
  'looking whether rows wait': /exists \(select from moonguard\.audit_queue/,
  begin: /^begin/,
  leading: /update moonguard\.audit_log set leader = \$/,
  'taking rows and writing leaves': /delete from moonguard\.audit_queue[^]*insert into moonguard\.audit_leaves/,
  'writing tiles': /insert into moonguard\.audit_tiles/,
  'swapping the checkpoint': /insert into moonguard\.audit_checkpoints/,
  commit: /^commit/,
};
const resigning = /update moonguard\.audit_log set leader = null/;

test('the table of faults has every statement of a batch', async () => {
  const { log, through, proxy } = await openScene();
  const { sequencer, untilSigned } = sequencerOn(through, log);
  await log.grow(3);
  const before = proxy.statements.length;
  sequencer.start();
  await untilSigned();
  await sequencer.stop();
  const said = proxy.statements.slice(before);
  const known = [...Object.values(batch), resigning];
  expect(said.filter((text) => !known.some((statement) => statement.test(text)))).toEqual([]);
  expect(known.filter((statement) => !said.some((text) => statement.test(text)))).toEqual([]);
});

test('whatever statement fails, or fails and is carried out: no fork, no lost row, no index twice', async () => {
  const { log, through, proxy } = await openScene();
  const { sequencer, untilSigned, next } = sequencerOn(through, log);
  const faults = Object.entries(batch).flatMap(([what, statement]) =>
    (['before', 'after'] as const).map((moment) => ({ what, statement, moment })),
  );
  for (const { what, statement, moment } of faults) {
    await log.grow(2);
    const struck = proxy.strike(statement, moment);
    sequencer.start();
    await struck;
    await next(({ type }) => type === 'audit.sequence_failed');
    // Started again rather than waited for: it rests a second after a failure.
    await sequencer.stop();
    await log.grow(1);
    sequencer.start();
    await untilSigned();
    await sequencer.stop();
    await log.expectWhole(`${what}, ${moment}`);
  }
});

test('a sequencer that cannot resign leaves the log to the others when its lease is over', async () => {
  const { log, database, through, proxy } = await openScene();
  for (const moment of ['before', 'after'] as const) {
    const [first, second] = [sequencerOn(through, log), sequencerOn(database, log)];
    await log.grow(1);
    first.sequencer.start();
    await first.untilSigned();
    const struck = proxy.strike(resigning, moment);
    await Promise.all([struck, first.sequencer.stop()]);
    await log.endLease();
    await log.grow(1);
    second.sequencer.start();
    await second.untilSigned();
    await second.sequencer.stop();
    await log.expectWhole(`resigning, ${moment}`);
  }
});

test('a process that is killed with -9 after any statement leaves everything to the next', {
  timeout: 120_000,
}, async () => {
  const { log, database, proxy } = await openScene();
  const { sequencer, untilSigned } = sequencerOn(database, log);
  // The next one starts while this one is killed.
  let following = startProcess(proxy.url);
  for (const [what, statement] of Object.entries(batch)) {
    const child = await following;
    following = startProcess(proxy.url);
    await log.grow(2);
    const ended = once(child, 'exit');
    const struck = proxy.strike(statement, 'after', () => child.kill('SIGKILL'));
    child.send('sequence');
    await Promise.all([struck, ended]);
    await log.endLease();
    await log.grow(1);
    sequencer.start();
    await untilSigned();
    await sequencer.stop();
    await log.expectWhole(what);
  }
});

test('a sequencer that stands still until its lease is over does not get between the one that follows', async () => {
  const { log, database, through, proxy } = await openScene();
  const [first, second] = [sequencerOn(through, log), sequencerOn(database, log)];
  const asSecond = () =>
    sequenceBatch({ database, signer: log.signer, leader: systemRuntime.newId(), leaseMs: 10_000 }, undefined);
  await log.grow(2);

  // In the middle of a batch it still holds the tree, lease or not.
  const inBatch = proxy.hold(batch['writing tiles'] ?? /^/);
  first.sequencer.start();
  const goOn = await inBatch;
  await log.endLease();
  expect(await asSecond()).toEqual({ outcome: 'waiting' });
  goOn();
  await first.untilSigned();

  // Between two batches it does not, and finds that another leads.
  const beforeNext = proxy.hold(batch['leading'] ?? /^/);
  await log.grow(2);
  const begin = await beforeNext;
  await log.endLease();
  second.sequencer.start();
  await second.untilSigned();
  begin();
  await second.sequencer.stop();
  await log.grow(2);
  await first.untilSigned();
  await first.sequencer.stop();
  await log.expectWhole('both');
});

/** A log to which rows are added, and which is held against what it was. */
interface GrowingLog {
  readonly signer: Signer;
  readonly rows: () => number;
  grow(count: number): Promise<void>;
  /** Every row has one leaf, and the tree has grown from that of the last time. */
  expectWhole(what: string): Promise<void>;
  /** As if its time had passed. */
  endLease(): Promise<void>;
}

interface Scene {
  readonly log: GrowingLog;
  readonly database: TestPostgres;
  readonly proxy: StatementProxy;
  /** The database by way of the proxy. */
  readonly through: Database;
}

async function openScene(): Promise<Scene> {
  const database = await openTestDatabase('postgres');
  const log = await Log.open(database);
  const proxy = await statementProxy(database.url);
  const through = await connectDatabase({ databaseUrl: proxy.url });
  onTestFinished(() => through.close());
  let rows = 0;
  let kept: string | undefined;
  const growing: GrowingLog = {
    signer: await log.signer(),
    rows: () => rows,
    grow: async (count) => {
      await log.add(rows, rows + count - 1);
      rows += count;
    },
    expectWhole: async (what) => {
      const whole = { size: rows, verified: rows, findings: [] };
      expect(await log.audit.verify({ earlier: kept }), what).toMatchObject(whole);
      kept = (await log.audit.checkpoint()).checkpoint;
    },
    endLease: async () => {
      await log.run(`update moonguard.audit_log set leader_until = now() - interval '1 s' where leader is not null`);
    },
  };
  return { log: growing, database, proxy, through };
}

interface Started {
  readonly sequencer: Sequencer;
  readonly next: Observed['next'];
  /** Until all rows are. */
  readonly untilSigned: () => Promise<unknown>;
}

function sequencerOn(database: Database, { signer, rows }: GrowingLog): Started {
  const { observe, next } = observed();
  const sequencer = new Sequencer({ database, observe, signer, leader: systemRuntime.newId() });
  onTestFinished(() => sequencer.stop());
  const untilSigned = () => next((seen) => seen.type === 'audit.sequenced' && seen.size === rows());
  return { sequencer, next, untilSigned };
}

async function startProcess(databaseUrl: string): Promise<ChildProcess> {
  const child = fork(new URL('./sequencerProcess.ts', import.meta.url), [databaseUrl, logKey], { execArgv: [] });
  onTestFinished(() => void child.kill('SIGKILL'));
  await once(child, 'message');
  return child;
}
