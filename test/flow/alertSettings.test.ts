import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { asUser } from '../support/asUser.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('the settings of alerts', (open) => {
  let database: TestDatabase;
  let settings: ComplianceService['settings'];

  beforeAll(async () => {
    database = await open();
    ({ settings } = new ComplianceService({ database }));
  });
  afterAll(() => database.close());

  test('have defaults, change one by one, and say who changed what', async () => {
    const defaults = await settings.get();
    expect(defaults).toMatchObject({
      fourEyes: false,
      bandExtreme: 85,
      businessDays: [1, 2, 3, 4, 5],
      opensAt: '09:00',
    });
    const changed = {
      fourEyes: true,
      fourEyesSeverities: ['critical'],
      closesAt: '24:00',
      timeZone: 'Europe/Vienna',
    } as const;
    expect(await settings.update({ ...changed, fourEyesSeverities: ['critical'] }, { actor: 'otto' })).toEqual({
      ...defaults,
      ...changed,
    });
    await settings.update({ fourEyes: false }, { actor: 'mia' });
    await settings.update({}, { actor: 'nobody changes anything' });
    await settings.update({ fourEyes: false }, { actor: 'nobody changes anything' });
    const { rows } = await sql`
      select actor, before -> 'four_eyes' as before, after -> 'four_eyes' as after
      from moonguard.alert_setting_changes order by id
    `.execute(database.db);
    expect(rows).toEqual([
      { actor: 'otto', before: false, after: true },
      { actor: 'mia', before: true, after: false },
    ]);
    await expect(sql`delete from moonguard.alert_setting_changes`.execute(database.db)).rejects.toMatchObject({
      constraint: 'alert_setting_changes_append_only',
    });
  });

  test.each([
    ['bandHigh', { bandHigh: 30 }],
    ['bandExtreme', { bandExtreme: 101 }],
    ['timeZone', { timeZone: 'Mars/Olympus' }],
    ['closesAt', { opensAt: '10:00', closesAt: '09:30' }],
    ['closesAt', { closesAt: '24:30' }],
    ['businessDays', { businessDays: [] }],
    ['correlationDays', { correlationDays: -1 }],
  ])('%s is refused', async (field, changes) => {
    expect(await refusal(settings.update(changes))).toMatchObject({ code: 'alert_settings_invalid', field });
  });

  test('are changed by officers, not by analysts', async () => {
    const as = (role: 'compliance_officer' | 'compliance_analyst') =>
      asUser(database, { sub: 'ana', role }, (transaction) => settings.update({ correlationDays: 7 }, { transaction }));
    expect(await as('compliance_officer')).toMatchObject({ correlationDays: 7 });
    expect((await refusal(as('compliance_analyst'))).code).toBe('alert_settings_invalid');
  });
});
