import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Db } from '../../src/database/database.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

interface Hours {
  readonly zone: string;
  /** ISO: Monday is 1. */
  readonly days: readonly number[];
  readonly opens: string;
  readonly closes: string;
  readonly holidays: readonly string[];
}

const office: Hours = { zone: 'UTC', days: [1, 2, 3, 4, 5], opens: '09:00', closes: '17:00', holidays: [] };
const vienna: Hours = { ...office, zone: 'Europe/Vienna' };
const roundTheClock: Hours = { ...vienna, days: [1, 2, 3, 4, 5, 6, 7], opens: '00:00', closes: '24:00' };

async function keep(transaction: Db, { zone, days, opens, closes, holidays }: Hours): Promise<void> {
  await sql`update moonguard.alert_settings
    set time_zone = ${zone}, business_days = ${days}, opens_at = ${opens}, closes_at = ${closes}`.execute(transaction);
  await sql`delete from moonguard.holidays`.execute(transaction);
  await sql`insert into moonguard.holidays (day, name) select day, 'closed' from unnest(${holidays}::date[]) as day`.execute(
    transaction,
  );
}

async function dueAt(transaction: Db, from: string, minutes: number, inBusinessHours = true): Promise<string> {
  const { rows } = await sql<{ due: Date | null }>`
    select moonguard.due_at(${from}::timestamptz, ${minutes}, ${inBusinessHours}) as due`.execute(transaction);
  return rows[0]?.due?.toISOString() ?? 'never';
}

forEachDatabase('the due time', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  // 2026-11-23 is a Monday. The clocks of Vienna go forward on 2026-03-29 and back on 2026-10-25, both Sundays.
  test.each<[what: string, hours: Hours, from: string, minutes: number, due: string]>([
    ['within a day', office, '2026-11-23T10:00Z', 60, '2026-11-23T11:00Z'],
    ['up to the end of the day', office, '2026-11-23T16:00Z', 60, '2026-11-23T17:00Z'],
    ['before the day begins', office, '2026-11-23T06:00Z', 60, '2026-11-23T10:00Z'],
    ['over a night', office, '2026-11-23T16:30Z', 60, '2026-11-24T09:30Z'],
    ['over a weekend', office, '2026-11-27T16:30Z', 60, '2026-11-30T09:30Z'],
    ['from within a weekend', office, '2026-11-28T12:00Z', 60, '2026-11-30T10:00Z'],
    ['three days', office, '2026-11-27T09:00Z', 1440, '2026-12-01T17:00Z'],
    [
      'over holidays',
      { ...office, holidays: ['2026-12-24', '2026-12-25'] },
      '2026-12-23T16:30Z',
      60,
      '2026-12-28T09:30Z',
    ],
    ['over the change to summer time', vienna, '2026-03-27T15:30Z', 60, '2026-03-30T07:30Z'],
    ['over the change to winter time', vienna, '2026-10-23T14:30Z', 60, '2026-10-26T08:30Z'],
    ['a day of 23 hours', roundTheClock, '2026-03-28T23:00Z', 1440, '2026-03-29T23:00Z'],
    ['a day of 25 hours', roundTheClock, '2026-10-24T22:00Z', 1440, '2026-10-25T22:00Z'],
    [
      'a shift in which an hour is missing',
      { ...roundTheClock, closes: '08:00' },
      '2026-03-28T23:00Z',
      480,
      '2026-03-29T23:00Z',
    ],
    [
      'at night, where it is another day',
      { ...office, zone: 'Pacific/Auckland' },
      '2026-11-22T19:00Z',
      60,
      '2026-11-22T21:00Z',
    ],
  ])('%s', async (_, hours, from, minutes, due) => {
    for (const sessionZone of ['UTC', 'Pacific/Kiritimati', 'Pacific/Pago_Pago']) {
      await database.transaction(async (transaction) => {
        await sql`select set_config('timezone', ${sessionZone}, true)`.execute(transaction);
        await keep(transaction, hours);
        expect(await dueAt(transaction, from, minutes), sessionZone).toBe(new Date(due).toISOString());
      });
    }
  });

  test('round the clock nothing but minutes counts', async () => {
    await keep(database.db, vienna);
    expect(await dueAt(database.db, '2026-03-27T22:00Z', 1440, false)).toBe('2026-03-28T22:00:00.000Z');
  });

  test('there is none where there are no business hours', async () => {
    await keep(database.db, { ...office, days: [1] });
    await sql`insert into moonguard.holidays (day, name)
      select day, 'Monday' from generate_series('2026-01-05'::date, '2040-01-01', '7 days') as day`.execute(
      database.db,
    );
    expect(await dueAt(database.db, '2026-11-23T10:00Z', 60)).toBe('never');
  });

  test('has as many open minutes before it as a walk minute by minute finds, and not one that is not needed', async () => {
    const days = ['2026-03-27', '2026-03-30', '2026-10-23', '2026-10-26', '2026-12-25'];
    const hours: fc.Arbitrary<Hours> = fc.record({
      zone: fc.constantFrom('UTC', 'Europe/Vienna', 'America/New_York', 'Asia/Kolkata', 'Australia/Lord_Howe'),
      days: fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { minLength: 2 }),
      opens: fc.constantFrom('00:00', '06:15', '09:00'),
      closes: fc.constantFrom('12:00', '17:30', '24:00'),
      holidays: fc.subarray(days),
    });
    const around = fc.tuple(fc.constantFrom(...days), fc.integer({ min: -5_000, max: 5_000 }));
    await fc.assert(
      fc.asyncProperty(hours, around, fc.integer({ min: 1, max: 2_000 }), async (given, [day, offset], minutes) => {
        const from = new Date(Date.parse(day) + offset * 60_000).toISOString();
        await database.transaction(async (transaction) => {
          await keep(transaction, given);
          const due = await dueAt(transaction, from, minutes);
          const { rows } = await sql<{ openMinutes: number; lastIsOpen: boolean }>`
            select count(*) filter (where is_open) as "openMinutes",
              coalesce(bool_and(is_open) filter (where minute = ${due}::timestamptz - interval '1 minute'), false) as "lastIsOpen"
            from (
              select minute, extract(isodow from local) = any (${given.days}) and local::date <> all (${given.holidays}::date[])
                and local::time >= ${given.opens}::time and local::time < ${given.closes}::time as is_open
              from (select minute, minute at time zone ${given.zone} as local
                from generate_series(${from}::timestamptz, ${due}::timestamptz - interval '1 minute', '1 minute') as minute) as walk
            ) as walked`.execute(transaction);
          expect(rows).toEqual([{ openMinutes: minutes, lastIsOpen: true }]);
        });
      }),
      { numRuns: 60 },
    );
  });
});
