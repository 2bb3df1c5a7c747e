import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { document, run } from '../support/commands.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

let database: TestPostgres;
beforeAll(async () => {
  database = await openTestDatabase('postgres');
  vi.stubEnv('DATABASE_URL', database.url);
  vi.stubEnv('MOONGUARD_MASTER_KEY', Buffer.alloc(32, 7).toString('base64'));
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await database.close();
});

const raise = async (options: string): Promise<string> =>
  String((await document(`alerts create --severity high --title "A hit" --as anna ${options}`))['alertId']);

test('how alerts are worked on is changed one by one, and the history names who did it', async () => {
  expect(
    await document('alerts settings set --four-eyes on --time-zone Europe/Vienna --business-days 1,2,3 --as otto'),
  ).toMatchObject({ fourEyes: true, timeZone: 'Europe/Vienna', businessDays: [1, 2, 3], bandHigh: 70 });
  await run('alerts settings set --four-eyes off --as mia');
  expect(await run('alerts settings show')).toMatch(/^four eyes +false$/m);
  expect((await run('alerts settings changes --limit 1')).split('\n')).toEqual([
    expect.stringMatching(/^AT +WHO +BEFORE +AFTER$/),
    expect.stringMatching(/^20.*Z  mia  \{"four_eyes":true\}  \{"four_eyes":false\}$/),
    '',
  ]);

  await run('alerts templates set pep_screening "Confirm the office, in writing" Ask');
  expect(await run('alerts templates list')).toMatch(
    /^pep_screening\n {2}- Confirm the office, in writing\n {2}- Ask$/m,
  );
  const shown = await run(`alerts show ${await raise('--alert-type pep_screening')}`);
  expect(shown).toMatch(/^To do:\n- Confirm the office, in writing\n- Ask$/m);
});

test('deadlines and holidays', async () => {
  expect(
    await run('alerts deadlines set high --minutes 60 --round-the-clock --warn-before 0 --escalate-to boss'),
  ).toMatch(/^high +60 +round the clock +0 +boss$/m);
  await run('alerts deadlines set high --no-escalate');
  await run('alerts deadlines remove low');
  expect((await run('alerts deadlines list')).split('\n').map((line) => line.replaceAll(/ +/g, ' '))).toEqual([
    'SEVERITY MINUTES COUNTED WARNING BEFORE ESCALATED TO',
    'critical 240 round the clock 60 –',
    'high 60 round the clock 0 –',
    'medium 1440 business hours 480 –',
    '',
  ]);
  expect(await run('alerts holidays add 2026-12-25 "Christmas Day"')).toBe('2026-12-25 is Christmas Day.\n');
  expect(await run('alerts holidays list')).toBe('DAY         NAME\n2026-12-25  Christmas Day\n');
  expect(await run('alerts holidays remove 2026-12-25')).toBe('2026-12-25 is a day like any other.\n');
  expect(await run('alerts holidays remove 2026-12-25')).toBe('2026-12-25 was no holiday.\n');
});

test('people and queues; an alert goes from one queue to another', async () => {
  await run('alerts people set maria --name Maria --capacity 1');
  await run('alerts people set otto');
  await run('alerts queues set screening --strategy least_loaded --alert-type sanctions_check aml_screening');
  await run('alerts queues set others --severity high --priority 200');
  await run('alerts queues join screening maria');
  await run('alerts queues join screening otto');
  await run('alerts queues leave screening otto');
  const [first, second] = [await raise('--alert-type sanctions_check'), await raise('--alert-type sanctions_check')];
  expect(await run('alerts queues distribute')).toBe('1 alert given out.\n');
  expect(await run('alerts people list')).toMatch(/^maria +Maria +yes +1 +1\notto +– +yes +0 +any$/m);
  expect(await run('alerts queues list')).toMatch(
    /^screening +yes +least_loaded +100 +maria +sanctions_check, aml_screening +every\nothers +yes +manual +200 +– +every +high$/m,
  );
  expect(await run(`alerts transfer ${first} ${second} --to others --as maria`)).toBe(
    `${first} is open, assigned to nobody (version 3).\n${second} is open, assigned to nobody (version 1).\n`,
  );
  expect(await document('alerts list --queue others --alert-type sanctions_check')).toMatchObject({
    items: [{ alertId: second }, { alertId: first }],
  });
  expect(await run(`alerts show ${first}`)).toMatch(
    /^20.*Z +maria +changed +open +(queue: screening → others, assigned_to: maria → none|assigned_to: maria → none, queue: screening → others)$/m,
  );
  await run('alerts queues set screening --no-alert-type --no-active');
  await run('alerts people set maria --no-capacity --no-active');
  expect(await run('alerts queues list')).toMatch(/^screening +no +least_loaded +100 +maria +every +every$/m);
  expect(await run('alerts people list')).toMatch(/^maria +Maria +no +0 +any$/m);
  await expect(run(`alerts transfer ${first} --to nowhere`)).rejects.toMatchObject({ code: 'queue_not_found' });
  await expect(run('alerts queues join nowhere otto')).rejects.toMatchObject({ code: 'queue_not_found' });
  await expect(run('alerts queues join others zoe')).rejects.toMatchObject({ code: 'alert_assignee_unknown' });
});

test('a suppression is requested, approved by another person, and ended', async () => {
  const about = '--customer-id suppressed --alert-type pep_screening';
  const requested = await document(
    `alerts suppressions request ${about} --reason "Known since 2019" --expires-at 2126-01-01T00:00:00Z --as anna`,
  );
  const id = String(requested['id']);
  const list = async () => (await run('alerts suppressions list --customer-id suppressed')).split('\n')[1];
  expect(await list()).toMatch(new RegExp(`^${id} +requested .* anna +– +Known since 2019$`));
  await expect(run(`alerts suppressions approve ${id} --as anna`)).rejects.toMatchObject({
    code: 'suppression_invalid',
  });
  expect(await run(`alerts suppressions approve ${id} --as otto`)).toBe(
    `${id} (pep screening of suppressed) is in force until 2126-01-01 00:00:00Z.\n`,
  );
  expect(await document(`alerts show ${await raise(about)}`)).toMatchObject({
    status: 'dismissed',
    resolvedBy: 'otto',
  });
  expect(await run(`alerts suppressions end ${id} --reason "New office" --as mia`)).toBe(
    `${id} (pep screening of suppressed) has ended.\n`,
  );
  expect(await run(`alerts suppressions show ${id}`)).toMatch(/^ended reason +New office$/m);
  expect(await document(`alerts show ${await raise(about)}`)).toMatchObject({ status: 'open' });
});

test('alerts about one matter are listed as groups and merged', async () => {
  const [lead, other] = [
    await raise('--alert-type aml_screening --customer-id grouped'),
    await raise('--alert-type aml_screening --customer-id grouped'),
  ];
  expect(await run('alerts groups')).toMatch(/^[0-9a-f-]{36} +2 +2 +high +20.*Z +grouped$/m);
  expect(await run(`alerts merge ${lead} ${other} --as anna`)).toBe(`1 alert follows ${lead}, which is high.\n`);
  await expect(run(`alerts dismiss ${other} --notes Nothing`)).rejects.toMatchObject({ code: 'alert_merged' });
  expect(await run(`alerts unmerge ${other}`)).toBe(`${other} is worked on by itself, and open.\n`);
});

test.each([
  [
    'alerts settings set --band-high 30',
    { code: 'alert_settings_invalid', message: 'bandHigh: must be more than bandMedium' },
  ],
  ['alerts settings set --time-zone Mars/Olympus', { message: 'timeZone: there is no time zone Mars/Olympus' }],
  ['alerts settings set --four-eyes perhaps', { code: 'commander.invalidArgument' }],
  ['alerts settings set --business-days 1,x', { code: 'commander.invalidArgument' }],
  ['alerts settings set --opens-at 9:00', { message: 'opensAt: must be a time such as 09:00' }],
  ['alerts deadlines set medium --warn-before 1440', { message: 'warnBeforeMinutes: must be less than minutes' }],
  ['alerts deadlines set urgent --minutes 5', { code: 'commander.invalidArgument' }],
  ['alerts deadlines set high --business-hours --round-the-clock', { code: 'commander.error' }],
  ['alerts holidays add 2026-02-30 Never', { message: 'day: must be a day such as 2026-12-25' }],
  ['alerts people set maria --capacity 0', { code: 'commander.invalidArgument' }],
  ['alerts settings set --four-eyes on --as ""', { code: 'alert_actor_missing' }],
])('%s is refused', async (line, expected) => {
  vi.spyOn(process.stderr, 'write').mockReturnValue(true);
  onTestFinished(() => void vi.restoreAllMocks());
  await expect(run(line)).rejects.toMatchObject(expected);
});
