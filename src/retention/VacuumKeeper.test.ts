import { sql } from 'kysely';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { type Observed, observed } from '../../test/support/signals.ts';
import { openTestDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { vacuumWhereNeeded } from './store/vacuumWhereNeeded.ts';
import { VacuumKeeper } from './VacuumKeeper.ts';

const ROWS = 5_000;

let database: TestDatabase;
let signals: Observed;

beforeEach(async () => {
  database = await openTestDatabase('embedded');
  signals = observed();
  await database.runScript(`create table worn (id integer, note text);
    insert into worn select id, repeat('x', 100) from generate_series(1, ${ROWS}) as id;`);
});
afterEach(() => database.close());

/** Replaces rows. */
async function wear(rows: number): Promise<void> {
  await sql`update worn set id = id where id <= ${rows}`.execute(database.db);
  // Otherwise the database counts them within a second.
  await sql`select pg_stat_force_next_flush()`.execute(database.db);
  expect((await facts()).dead).toBe(rows);
}

async function facts() {
  const { rows } = await sql<{ dead: number; bytes: number }>`
    select n_dead_tup as dead, pg_relation_size(relid) as bytes from pg_stat_user_tables where relname = 'worn'
  `.execute(database.db);
  return rows[0] ?? { dead: Number.NaN, bytes: Number.NaN };
}

test('a table whose rows are replaced again and again does not grow', async () => {
  await wear(ROWS);
  const { bytes } = await facts();
  for (let times = 0; times < 5; times++) {
    expect(await vacuumWhereNeeded(database.db)).toBe(1);
    await wear(ROWS);
  }
  expect((await facts()).bytes).toBe(bytes);
});

test('a table with few dead rows is left alone', async () => {
  await wear(900);
  expect(await vacuumWhereNeeded(database.db)).toBe(0);
  expect((await facts()).dead).toBe(900);
});

/** Lets the time until the keeper's next turn pass. */
function nextTurn(): void {
  vi.advanceTimersToNextTimer();
  vi.useRealTimers();
}

test('the keeper does it when its turn comes, and not after it was stopped', async () => {
  await wear(ROWS);
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const keeper = new VacuumKeeper({ database, observe: signals.observe });
  keeper.start();
  nextTurn();
  await keeper.stop();
  expect((await facts()).dead).toBe(0);
  expect(signals.all).toEqual([]);
});

test('a failure is reported, and the next turn comes', async () => {
  const closed = await openTestDatabase('embedded');
  await closed.close();
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  const keeper = new VacuumKeeper({ database: closed, observe: signals.observe });
  keeper.start();
  for (let times = 0; times < 2; times++) {
    await vi.advanceTimersToNextTimerAsync();
    await signals.next(({ type }) => type === 'vacuum.failed');
  }
  await keeper.stop();
  expect(vi.getTimerCount()).toBe(0);
});
