import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';

import type { Jobs } from '../../src/jobs/Jobs.ts';
import type { Job, JobContext, JobOutcome } from '../../src/jobs/job.ts';

import { sqlJob } from '../../src/jobs/sqlJob.ts';
import { claimJobs } from '../../src/jobs/store/claimJobs.ts';
import { checkJobs } from '../../src/observe/checkJobs.ts';
import { jobsOf, processWith } from '../support/jobs.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const HOUR = 3_600;

/** A job that waits in its run until it is let go, or told to end. */
function held() {
  const begun = Promise.withResolvers<void>();
  const released = Promise.withResolvers<void>();
  let runs = 0;
  const run = async ({ signal, report }: JobContext): Promise<JobOutcome> => {
    runs += 1;
    report({ steps: 1 });
    begun.resolve();
    const told = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
    await Promise.race([released.promise, told]);
    return { result: { steps: signal.aborted ? 1 : 2 } };
  };
  return { run, begun: begun.promise, release: () => released.resolve(), runs: () => runs };
}

forEachDatabase('jobs', (open, kind) => {
  let database: TestDatabase;
  beforeEach(async () => {
    database = await open();
  });
  afterEach(() => database.close());

  const query = async (text: string): Promise<Record<string, unknown>[]> =>
    (await sql.raw<Record<string, unknown>>(text).execute(database.db)).rows;

  const job = (run: Job['run'], more: Partial<Job> = {}): Job => ({
    name: 'tidy',
    description: 'tidy up',
    everySeconds: HOUR,
    run,
    ...more,
  });

  const ran = ({ type }: { readonly type: string }) => type === 'job.ran';
  const state = async (jobs: Jobs) => (await jobs.list())[0];
  const dueInSeconds = async () =>
    (await query(`select round(extract(epoch from next_at - now()))::int as due from moonguard.jobs`))[0]?.['due'];

  test('what is due runs at once, and its result and next time are to be seen', async () => {
    const { runner, next, jobs } = processWith(database, [job(async () => ({ result: { rows: 3 } }))]);
    await runner.start();
    expect(await next(ran)).toEqual({ type: 'job.ran', job: 'tidy', status: 'done', result: { rows: 3 } });
    expect(await state(jobs)).toMatchObject({
      name: 'tidy',
      description: 'tidy up',
      state: 'waiting',
      lastStatus: 'done',
      lastResult: { rows: 3 },
      lastError: null,
      failures: 0,
      worker: expect.stringMatching(new RegExp(` ${process.pid}$`)),
      lastDurationMs: expect.any(Number),
    });
    expect(await dueInSeconds()).toBe(HOUR);
  });

  test('of two processes one runs it', async () => {
    const work = held();
    const [one, other] = [processWith(database, [job(work.run)]), processWith(database, [job(work.run)])];
    await one.runner.start();
    await work.begun;
    await other.runner.start();
    await other.runner.stop();
    expect(await state(other.jobs)).toMatchObject({ state: 'running' });
    expect((await refusal(other.jobs.run('tidy'))).code).toBe('job_running');
    work.release();
    expect(await one.next(ran)).toMatchObject({ result: { steps: 2 } });
    expect(work.runs()).toBe(1);
  });

  test('jobs run beside each other: a long one holds up no other', async () => {
    const work = held();
    const { runner, next } = processWith(database, [
      job(work.run),
      job(async () => ({ result: {} }), { name: 'other' }),
    ]);
    await runner.start();
    await work.begun;
    expect(await next(ran)).toMatchObject({ job: 'other' });
  });

  test('what a killed process was at is taken over when its lease ends', async () => {
    const { runner, next, jobs } = processWith(database, [job(async () => ({ result: { rows: 1 } }))]);
    await runner.register();
    const claim = { names: ['tidy'], worker: 'killed', leaseMs: 300, byHand: false };
    expect(await claimJobs(database.db, claim)).toMatchObject([{ leaseToken: expect.any(String) }]);
    await runner.start();
    expect(await state(jobs)).toMatchObject({ state: 'running', worker: 'killed' });
    expect(await next(ran)).toMatchObject({ result: { rows: 1 } });
    expect(await state(jobs)).toMatchObject({ state: 'waiting', worker: expect.stringContaining(`${process.pid}`) });
  });

  /** When a lease has been renewed so many times. */
  async function renewals(count: number): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    let seen = 0;
    const stopListening = await database.listen('renewed', () => {
      seen += 1;
      if (seen === count) resolve();
    });
    await database.runScript(`create function tell() returns trigger language plpgsql as $$ begin perform pg_notify('renewed', ''); return null; end $$;
      create trigger tell after update on moonguard.jobs for each row when (new.leased_until > old.leased_until) execute function tell()`);
    await promise;
    await stopListening();
  }

  test('a lease is renewed for as long as it takes, and tells how far it is', async () => {
    const work = held();
    const { runner, next, jobs } = processWith(database, [job(work.run)], 150);
    await runner.start();
    await work.begun;
    await renewals(2);
    expect(await state(jobs)).toMatchObject({ state: 'running', lastResult: { steps: 1 } });
    work.release();
    expect(await next(ran)).toMatchObject({ status: 'done' });
  });

  test('who has lost the lease ends, and what it says no longer counts', async () => {
    const work = held();
    const { runner, next, jobs } = processWith(database, [job(work.run)], 150);
    await runner.start();
    await work.begun;
    await query(
      `update moonguard.jobs set lease_token = moonguard.uuid_v7(), leased_until = now() + interval '1 hour', worker = 'another'`,
    );
    await next(({ type }) => type === 'job.lease_lost');
    expect(await state(jobs)).toMatchObject({ state: 'running', worker: 'another', lastStatus: null });
  });

  test('a process that stops ends its jobs, and the next one goes on at once', async () => {
    const work = held();
    const first = processWith(database, [job(work.run)]);
    await first.runner.start();
    await work.begun;
    await first.runner.stop();
    expect(await state(first.jobs)).toMatchObject({
      lastStatus: 'interrupted',
      lastResult: { steps: 1 },
      state: 'waiting',
    });
    const second = processWith(database, [job(async () => ({ result: { rows: 1 } }))]);
    await second.runner.start();
    expect(await second.next(ran)).toMatchObject({ result: { rows: 1 } });
  });

  test('what failed is reported, and comes again after a minute, then after twice as long', async () => {
    const { runner, next, jobs } = processWith(database, [
      job(async ({ report }) => {
        report({ rows: 7 });
        throw new TypeError('about somebody');
      }),
    ]);
    await runner.start();
    expect(await next(() => true)).toEqual({ type: 'job.failed', job: 'tidy', reason: 'TypeError' });
    expect(await dueInSeconds()).toBe(60);
    expect(await state(jobs)).toMatchObject({
      lastStatus: 'failed',
      lastError: 'TypeError',
      failures: 1,
      lastResult: { rows: 7 },
    });
    expect(await jobs.run('tidy')).toMatchObject({ status: 'failed', reason: 'TypeError' });
    expect(await dueInSeconds()).toBe(120);
    expect(await checkJobs(database)).toMatchObject({ status: 'problem', message: 'tidy failed 2 times: TypeError' });
  });

  test('a job that says when it is due next runs then', async () => {
    let runs = 0;
    const { runner, next } = processWith(database, [
      job(async () => {
        runs += 1;
        return { result: { runs }, nextDue: runs === 1 ? new Date(Date.now() + 300) : undefined };
      }),
    ]);
    await runner.start();
    await next(ran);
    expect(await next(ran)).toMatchObject({ result: { runs: 2 } });
    expect(await dueInSeconds()).toBe(HOUR);
  });

  test('a paused job is left alone until it is resumed; by hand it runs all the same', async () => {
    let runs = 0;
    const counting = job(async () => ({ result: { runs: (runs += 1) } }));
    const { runner, jobs, all } = processWith(database, [counting]);
    await jobs.pause('tidy', { actor: 'anna' });
    await runner.start();
    await runner.stop();
    expect(all).toEqual([]);
    expect(await state(jobs)).toMatchObject({ state: 'paused', pausedBy: 'anna' });
    expect(await checkJobs(database)).toMatchObject({ status: 'ok', message: 'none failing; paused: tidy' });

    const steps: unknown[] = [];
    const byHand = job(async ({ report }) => {
      report({ rows: 1 });
      report({ rows: 2 });
      return { result: { rows: 2 } };
    });
    const hand = processWith(database, [byHand]);
    expect(await hand.jobs.run('tidy', { onProgress: (soFar) => steps.push(soFar) })).toMatchObject({ status: 'done' });
    expect(steps).toEqual([{ rows: 1 }, { rows: 2 }]);
    await jobs.resume('tidy');
    expect(await state(jobs)).toMatchObject({ state: 'waiting', pausedBy: null, lastResult: { rows: 2 } });
    expect((await refusal(jobs.run('nobody'))).code).toBe('job_not_found');
    expect((await refusal(jobs.pause('nobody'))).code).toBe('job_not_found');
  });

  test('it is reported when the jobs cannot be asked for', async () => {
    const { runner, next } = processWith(database, [job(async () => ({ result: {} }))]);
    await query('alter function moonguard.claim_jobs(text[], text, double precision, boolean) rename to gone');
    await runner.start();
    expect(await next(() => true)).toEqual({ type: 'jobs.claim_failed', reason: '42883' });
  });

  test('a job that nobody has run for a while is overdue', async () => {
    const { runner } = processWith(database, [job(async () => ({ result: {} }))]);
    await runner.register();
    await query(`update moonguard.jobs set next_at = now() - interval '6 minutes'`);
    expect(await checkJobs(database)).toMatchObject({
      status: 'warning',
      message: expect.stringMatching(/^overdue: tidy since /),
    });
  });

  describe('of one SQL function', () => {
    const sqlRun = async (call: string) => {
      const { jobs } = processWith(database, [
        sqlJob(database, { ...job(async () => ({ result: {} })), sqlCall: call }),
      ]);
      return jobs.run('tidy');
    };

    test('is called until nothing is left', async () => {
      await database.runScript(`create table left_over as select n from generate_series(1, 250) as n;
        create function take_batch() returns integer language sql as $$
          with gone as (delete from left_over where ctid = any (array(select ctid from left_over limit 100)) returning 1) select count(*)::int from gone $$;
        create function take_row() returns table (taken integer, more boolean, next_due timestamptz, failure text) language sql as $$
          select take_batch(), exists (select from left_over), now() + interval '1 minute', null $$`);
      expect(await sqlRun('take_batch()')).toMatchObject({ status: 'done', result: { done: 250 } });
      await query('insert into left_over select generate_series(1, 250)');
      expect(await sqlRun('take_row()')).toMatchObject({ status: 'done', result: { taken: 250 } });
      expect(await dueInSeconds()).toBe(60);
    });

    test('says what it could not do', async () => {
      await database.runScript(
        `create function half() returns table (rows integer, failure text, more boolean) language sql as $$ select 1, '40P01', true $$`,
      );
      expect(await sqlRun('half()')).toMatchObject({ status: 'failed', result: { rows: 1 }, reason: '40P01' });
      expect(await sqlRun('nowhere()')).toMatchObject({ status: 'failed', reason: '42883' });
    });

    test('can be left to pg_cron where it is', async () => {
      const { jobs, runner, all } = processWith(database, [
        sqlJob(database, { ...job(async () => ({ result: {} })), sqlCall: "pg_catalog.length('abc')" }),
        job(async () => ({ result: {} }), { name: 'program' }),
      ]);
      expect((await refusal(jobs.schedule('pg_cron'))).code).toBe('pg_cron_missing');
      // The extension is on no server of the tests; this has its signatures.
      await database.runScript(`create schema cron; create table cron.job (jobname text primary key, schedule text, command text);
        create function cron.schedule(text, text, text) returns bigint language sql as $$
          insert into cron.job values ($1, $2, $3) on conflict (jobname) do update set schedule = $2, command = $3; select 1::bigint $$;
        create function cron.unschedule(text) returns boolean language sql as $$ delete from cron.job where jobname = $1; select true $$`);
      expect(await jobs.schedule('pg_cron')).toEqual(['tidy']);
      expect(await jobs.schedule('pg_cron')).toEqual(['tidy']);
      const [scheduled] = await query('select * from cron.job');
      expect(scheduled).toEqual({
        jobname: 'moonguard tidy',
        schedule: '7 */1 * * *',
        command: `select moonguard.run_job('tidy')`,
      });
      await runner.start();
      await runner.stop();
      expect(all).toMatchObject([{ job: 'program' }]);
      expect(await query(String(scheduled?.['command']))).toEqual([{ run_job: 3 }]);
      const [, tidy] = await jobs.list().then((listed) => listed.toSorted((a, b) => a.name.localeCompare(b.name)));
      expect(tidy).toMatchObject({ isOnPgCron: true, worker: 'pg_cron', lastStatus: 'done', lastResult: { done: 3 } });
      await jobs.pause('tidy');
      expect(await query(String(scheduled?.['command']))).toEqual([{ run_job: null }]);
      await jobs.resume('tidy');
      expect(await jobs.schedule('moonguard')).toEqual(['tidy']);
      expect(await query('select * from cron.job')).toEqual([]);
    });
  });

  describe('that are scheduled', () => {
    test('all work, by hand too', async () => {
      const all = jobsOf(database);
      const { jobs } = processWith(database, all);
      for (const { name } of all) expect(await jobs.run(name), name).toMatchObject({ status: 'done' });
      expect(all.map(({ name }) => name).includes('vacuum')).toBe(kind === 'embedded');
    });

    test('deadlines are kept to the moment', async () => {
      const { runner, next } = processWith(
        database,
        jobsOf(database).filter(({ name }) => name === 'deadlines'),
      );
      const compliance = new ComplianceService({ database });
      const dueAt = new Date(Date.now() + 700);
      await compliance.createAlert({ alertType: 'aml_screening', severity: 'critical', title: 'Suspicion', dueAt });
      await runner.start();
      expect(await next(ran)).toMatchObject({ result: { breached: 0 } });
      expect(await next(ran)).toMatchObject({ result: { breached: 1 } });
    });
  });
});
