import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import type { SettingsChanges } from '../../src/compliance/settings.ts';
import { asUser } from '../support/asUser.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

forEachDatabase('the settings of alerts', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let settings: ComplianceService['settings'];
  let deadlines: ComplianceService['deadlines'];

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
    ({ settings, deadlines } = compliance);
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
    ['bandExtreme', { bandHigh: 90 }],
    ['bandExtreme', { bandExtreme: 101 }],
    ['timeZone', { timeZone: 'Mars/Olympus' }],
    ['closesAt', { opensAt: '10:00', closesAt: '09:30' }],
    ['closesAt', { closesAt: '24:30' }],
    ['businessDays', { businessDays: [] }],
    ['correlationDays', { correlationDays: -1 }],
  ])('%s is refused', async (field, changes) => {
    expect(await refusal(settings.update(changes))).toMatchObject({ code: 'alert_settings_invalid', field });
  });

  test('say what they must be to each other', async () => {
    const words = async (changes: SettingsChanges) => (await refusal(settings.update(changes))).message;
    expect(await words({ bandMedium: 70 })).toBe('bandHigh: must be more than bandMedium');
    expect(await words({ opensAt: '10:00', closesAt: '09:00', bandExtreme: 1 })).toBe(
      'bandExtreme: must be more than bandHigh; closesAt: must be later than opensAt',
    );
    expect((await refusal(deadlines.put('high', { minutes: 60 }))).message).toBe(
      'warnBeforeMinutes: must be less than minutes',
    );
  });

  test('deadlines change by what is given, and go', async () => {
    const of = async (severity: string) => (await deadlines.list()).find((each) => each.severity === severity);
    const before = await of('high');
    await deadlines.put('high', { escalateTo: 'boss', minutes: undefined }, { actor: 'otto' });
    expect(await of('high')).toEqual({ ...before, escalateTo: 'boss' });
    await deadlines.put('high', { escalateTo: null });
    expect(await of('high')).toEqual(before);

    expect(await deadlines.remove('high')).toBe(true);
    expect(await deadlines.remove('high')).toBe(false);
    const alert = await compliance.createAlert({ alertType: 'aml_screening', severity: 'high', title: 'Found' });
    expect(alert.dueAt).toBeNull();
    expect(await refusal(deadlines.put('high', { warnBeforeMinutes: 5 }))).toMatchObject({ field: 'minutes' });
    await deadlines.put('high', { minutes: 480, inBusinessHours: false, warnBeforeMinutes: 120 });
    expect((await deadlines.list()).map(({ severity, inBusinessHours }) => [severity, inBusinessHours])).toEqual([
      ['critical', false],
      ['high', false],
      ['medium', true],
      ['low', true],
    ]);
  });

  test('holidays come, get another name and go', async () => {
    await deadlines.putHoliday({ day: '2026-12-25', name: 'X' });
    await deadlines.putHoliday({ day: '2026-12-25', name: 'Christmas Day' });
    await deadlines.putHoliday({ day: '2026-01-01', name: 'New Year' });
    expect(await deadlines.listHolidays()).toEqual([
      { day: '2026-01-01', name: 'New Year' },
      { day: '2026-12-25', name: 'Christmas Day' },
    ]);
    expect(await deadlines.removeHoliday('2026-12-25')).toBe(true);
    expect(await deadlines.removeHoliday('2026-12-25')).toBe(false);
    expect(await refusal(deadlines.putHoliday({ day: '2026-02-30', name: 'X' }))).toMatchObject({
      code: 'alert_settings_invalid',
      field: 'day',
    });
  });

  test('new alerts recommend what their type does, unless somebody says it', async () => {
    const actions = ['Confirm the office, in writing', 'Ask'];
    await settings.putTemplate('pep_screening', actions, { actor: 'otto' });
    const raise = (recommendedActions?: string[]) =>
      compliance.createAlert({ alertType: 'pep_screening', severity: 'low', title: 'Found', recommendedActions });
    expect(await raise()).toMatchObject({ recommendedActions: actions });
    expect(await raise(['Nothing'])).toMatchObject({ recommendedActions: ['Nothing'] });
    expect(await settings.listTemplates()).toContainEqual({ alertType: 'pep_screening', recommendedActions: actions });
    expect(await refusal(settings.putTemplate('pep_screening', [' ']))).toMatchObject({
      field: 'recommendedActions.0',
    });
  });

  test('every change is kept with who made it, but for the turns of a queue', async () => {
    const { queues } = compliance;
    const newest = async (limit: number) =>
      (await settings.listChanges({ limit })).map(({ actor, before, after }) => ({ actor, before, after }));
    await queues.putPerson({ id: 'mia', capacity: 3 }, { actor: 'otto' });
    await queues.putQueue(
      { name: 'kyc', strategy: 'round_robin', alertTypes: ['kyc_verification'] },
      { actor: 'otto' },
    );
    await queues.addMember('kyc', 'mia', { actor: 'otto' });
    await compliance.createAlert({ alertType: 'kyc_verification', severity: 'low', title: 'Found' });
    expect(await queues.distribute()).toBe(1);
    expect(await queues.removeMember('kyc', 'mia', { actor: 'anna' })).toBe(true);
    await deadlines.put('low', { escalateTo: 'boss' }, { actor: 'anna' });
    await deadlines.put('low', { escalateTo: 'boss' }, { actor: 'nobody changes anything' });

    const member = { queue: 'kyc', person: 'mia' };
    expect(await newest(5)).toMatchObject([
      {
        actor: 'anna',
        before: { alert_deadlines: { escalate_to: null } },
        after: { alert_deadlines: { escalate_to: 'boss' } },
      },
      { actor: 'anna', before: { alert_queue_members: member }, after: {} },
      { actor: 'otto', before: {}, after: { alert_queue_members: { ...member, last_turn: 0 } } },
      { actor: 'otto', before: {}, after: { alert_queues: { name: 'kyc', priority: 100 } } },
      { actor: 'otto', before: {}, after: { alert_people: { id: 'mia', capacity: 3, is_active: true } } },
    ]);
    expect(await refusal(settings.listChanges({ limit: 201 }))).toMatchObject({ field: 'limit' });
  });

  test('are changed by officers, not by analysts', async () => {
    const as = (role: 'compliance_officer' | 'compliance_analyst') =>
      asUser(database, { sub: 'ana', role }, (transaction) => settings.update({ correlationDays: 7 }, { transaction }));
    expect(await as('compliance_officer')).toMatchObject({ correlationDays: 7 });
    expect((await refusal(as('compliance_analyst'))).code).toBe('alert_settings_invalid');
    const removedBy = (role: 'compliance_officer' | 'compliance_analyst') =>
      asUser(database, { sub: 'ana', role }, (transaction) => deadlines.remove('medium', { transaction }));
    expect(await removedBy('compliance_analyst')).toBe(false);
    expect(await removedBy('compliance_officer')).toBe(true);
    const holidayBy = (role: 'compliance_officer' | 'compliance_analyst') =>
      asUser(database, { sub: 'ana', role }, (transaction) =>
        deadlines.putHoliday({ day: '2026-05-01', name: 'May Day' }, { transaction }),
      );
    await holidayBy('compliance_officer');
    expect((await refusal(holidayBy('compliance_analyst'))).code).toBe('alert_settings_invalid');
  });
});
