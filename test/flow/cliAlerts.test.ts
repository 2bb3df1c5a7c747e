import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { NewAlertInput } from '../../src/compliance/alertInput.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { cli, startCli } from '../support/cli.ts';
import { document, run } from '../support/commands.ts';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const masterKey = Buffer.alloc(32, 7).toString('base64');

let database: TestPostgres;
beforeAll(async () => {
  database = await openTestDatabase('postgres');
  vi.stubEnv('DATABASE_URL', database.url);
  vi.stubEnv('MOONGUARD_MASTER_KEY', masterKey);
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await database.close();
});

const env = () => ({ DATABASE_URL: database.url, MOONGUARD_MASTER_KEY: masterKey });

/** The alert_id of a new alert. */
async function raise(options = ''): Promise<string> {
  const created = await document(
    `alerts create --alert-type sanctions_check --severity medium --title "A hit" --as anna ${options}`,
  );
  return String(created['alertId']);
}

test('an alert goes its way, and the history names who did what', async () => {
  const created = await document(
    'alerts create --alert-type aml_screening --severity high --customer-id customer_123 --risk-score 85 --title "High Risk Customer Detected" --as anna',
  );
  expect(created).toMatchObject({ status: 'open', riskLevel: 'extreme', customerId: 'customer_123' });
  const id = String(created['alertId']);

  const assigned = await run(`alerts assign ${id} --to maria --as anna`);
  expect(assigned).toBe(`${id} is open, assigned to maria (version 2).\n`);
  await run(`alerts review ${id} --as maria`);
  await run(`alerts comment ${id} "Asked for a proof of address" --mention otto --as maria`);
  await run(`alerts escalate ${id} --to head --reason "large amounts" --as maria`);
  await run(`alerts resolve ${id} --notes Reported --as head`);
  await run(`alerts reopen ${id} --reason "New documents" --as anna`);
  await expect(run(`alerts review ${id} --expected-version 2`)).rejects.toMatchObject({
    code: 'alert_version_stale',
  });

  expect(await document(`alerts show ${id}`)).toMatchObject({
    status: 'open',
    timeline: [
      { actor: 'anna', action: 'created', toStatus: 'open' },
      { actor: 'anna', action: 'changed' },
      { actor: 'maria', toStatus: 'in_review' },
      { actor: 'maria', action: 'commented', reason: 'Asked for a proof of address', mentions: ['otto'] },
      { actor: 'maria', toStatus: 'escalated', reason: 'large amounts' },
      { actor: 'head', toStatus: 'resolved', reason: 'Reported' },
      { actor: 'anna', toStatus: 'open', reason: 'New documents' },
    ],
  });
});

test('lists are tables for people and pages for programs', async () => {
  for (const title of ['First', 'Second']) {
    await run(`alerts create --alert-type pep_screening --severity low --title ${title}`);
  }
  const list = 'alerts list --alert-type pep_screening';
  expect((await run(list)).split('\n')).toEqual([
    expect.stringMatching(/^ALERT +SEVERITY +STATUS +TYPE +HITS +TRIGGERED +ASSIGNED TO +TITLE$/),
    expect.stringMatching(/^alert_[0-9a-f]{32} +low +open +pep_screening +1 +20.* Second$/),
    expect.stringMatching(/^alert_[0-9a-f]{32} +low +open +pep_screening +1 +20.* First$/),
    '',
  ]);

  const first = await document(`${list} --limit 1`);
  expect(first).toMatchObject({ items: [{ title: 'Second' }] });
  const second = await document(`${list} --cursor ${String(first['nextCursor'])}`);
  expect(second).toMatchObject({ items: [{ title: 'First' }] });
  expect(await document('alerts list --search firs')).toMatchObject({ items: [{ title: 'First' }] });
});

describe('a list is narrowed down', () => {
  const type = '--alert-type document_verification';
  let ids: string[];
  beforeAll(async () => {
    ids = [
      await raise(`${type} --wallet-address 0xabc --risk-score 10 --due-at 2126-01-02T00:00:00Z`),
      await raise(`${type} --customer-id customer_9 --assigned-to maria --due-at 2126-01-01T00:00:00Z`),
      await raise(
        `${type} --correlation-id case_7 --risk-score 90 --due-at 2126-01-03T00:00:00Z --details '{"list": "EU"}'`,
      ),
    ];
  });

  test.each([
    ['', [2, 1, 0]],
    ['--sort due', [1, 0, 2]],
    ['--unassigned', [2, 0]],
    ['--assigned-to maria', [1]],
    ['--wallet-address 0xabc', [0]],
    ['--correlation-id case_7', [2]],
    ['--min-risk-score 50', [2]],
    ['--max-risk-score 50', [0]],
    ['--details \'{"list": "EU"}\'', [2]],
    ['--due-to 2126-01-01T12:00:00Z', [1]],
    ['--triggered-to 1h', []],
    ['--archived', []],
  ])('%j', async (options, expected) => {
    const { items } = await document(`alerts list ${type} ${options}`);
    expect(items).toMatchObject(expected.map((index) => ({ alertId: ids[index] })));
    expect(items).toHaveLength(expected.length);
  });
});

test('of several alerts each has its answer, and the exit code says that one was refused', async () => {
  const [first, second] = [await raise(), await raise()];
  await run(`alerts resolve ${second} --notes Reported --as anna`);
  const dismiss = ['alerts', 'dismiss', first, 'alert_nowhere', second, '--notes', 'Same name', '--as', 'anna'];

  const some = await cli(dismiss, { env: env() });
  const again = await cli([...dismiss, '--json'], { env: env() });

  expect(some.code).toBe(1);
  expect(some.stdout.split('\n')).toEqual([
    `${first} is dismissed, assigned to nobody (version 2).`,
    'alert_nowhere is as it was: alert_not_found: There is no alert with this id.',
    expect.stringContaining(`${second} is as it was: alert_move_not_allowed: `),
    '',
  ]);
  expect(JSON.parse(again.stdout)).toMatchObject([
    { alertId: first, outcome: 'refused', error: { code: 'alert_move_not_allowed' } },
    { outcome: 'refused', error: { code: 'alert_not_found' } },
    { outcome: 'refused' },
  ]);
});

test('under four-eyes one proposes and another decides', async () => {
  await sql`update moonguard.alert_settings set four_eyes = true`.execute(database.db);
  onTestFinished(async () => {
    await sql`update moonguard.alert_settings set four_eyes = false`.execute(database.db);
  });
  const id = await raise('--severity critical');
  const resolve = (who: string) => run(`alerts resolve ${id} --notes Reported --as ${who}`);

  await expect(resolve('anna')).rejects.toMatchObject({
    code: 'alert_second_person_needed',
    action: expect.stringContaining('alerts propose'),
  });
  expect(await run(`alerts propose ${id} resolved --notes "Reported to the authority" --as anna`)).toBe(
    `anna proposes that ${id} becomes resolved: another person decides.\n`,
  );
  await expect(resolve('anna')).rejects.toMatchObject({ code: 'alert_second_person_needed' });
  expect(await document(`alerts resolve ${id} --as otto`)).toMatchObject({
    status: 'resolved',
    resolvedBy: 'otto',
    resolutionNotes: 'Reported to the authority',
  });
});

test('a document is referred to by its hash', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'moonguard-cli-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  const file = join(directory, 'address.pdf');
  writeFileSync(file, 'a proof');
  const id = await raise();
  const uri = 'https://documents.example.com/1';

  await run(`alerts attach ${id} ${file} --uri ${uri} --as anna`);

  const sha256 = createHash('sha256').update('a proof').digest('hex');
  expect(await document(`alerts show ${id}`)).toMatchObject({
    timeline: [{}, { actor: 'anna', action: 'attached', attachment: { name: 'address.pdf', uri, sha256, bytes: 7 } }],
  });
  expect(await run(`alerts show ${id}`)).toMatch(/ anna +attached .* https:\/\/documents\.example\.com\/1$/m);
  await expect(run(`alerts attach ${id} /nowhere --uri ${uri}`)).rejects.toMatchObject({
    code: 'request_invalid',
    problems: [{ code: 'file_unreadable', field: 'file' }],
  });
});

test('what it stands for is shown: every hit, and candidates of a screening', async () => {
  const screening = {
    provider: 'ours',
    list: 'EU',
    listDate: '2026-11-20',
    query: { name: 'Ada Example' },
    candidates: [{ entryId: 'EU.123', name: 'Ada Exampel', score: 0.91, reasons: ['one letter differs', 'same year'] }],
  };
  const { alertId } = await new ComplianceService({ database }).createAlert({
    alertType: 'sanctions_check',
    severity: 'low',
    title: 'The first',
    dedupeKey: 'shown',
    screeningResults: screening,
  });
  expect(await raise('--dedupe-key shown --risk-score 55')).toBe(alertId);

  const shown = await run(`alerts show ${alertId}`);

  expect(shown).toMatch(/^Ada Example on EU of 2026-11-20, searched by ours:$/m);
  expect(shown).toMatch(/^Ada Exampel +0\.91 +EU\.123 +one letter differs; same year$/m);
  expect(shown).toMatch(/^20\S+ \S+ +medium +55 +anna +A hit\n20\S+ \S+ +low +– +system +The first$/m);
  expect(await document(`alerts show ${alertId}`)).toMatchObject({ hits: [{}, { isFirst: true }] });
});

describe('what is wrong is refused by its code', () => {
  let id: string;
  beforeAll(async () => {
    id = await raise();
    await sql`insert into moonguard.alert_people (id) values ('anna')`.execute(database.db);
  });
  afterAll(() => sql`delete from moonguard.alert_people`.execute(database.db));

  const create = 'alerts create --alert-type sanctions_check --severity low --title x';
  test.each([
    ['a score of 101', () => `${create} --risk-score 101`, { code: 'alert_invalid', field: 'riskScore' }],
    ['a score that is none', () => `${create} --risk-score NaN`, { code: 'commander.invalidArgument' }],
    ['an unknown type', () => create.replace('sanctions_check', 'tarot'), { code: 'commander.invalidArgument' }],
    ['a move by nobody', () => `alerts review ${id} --as ""`, { code: 'alert_actor_missing', field: 'actor' }],
    ['a stale version', () => `alerts review ${id} --expected-version 7`, { code: 'alert_version_stale' }],
    [
      'more notes than 64 KiB',
      () => `alerts dismiss ${id} --notes ${'x'.repeat(70_000)}`,
      { code: 'alert_invalid', field: 'notes' },
    ],
    ['an unknown assignee', () => `alerts assign ${id} --to zoe`, { code: 'alert_assignee_unknown' }],
    ['an assignment that does not say to whom', () => `alerts assign ${id}`, { code: 'commander.error' }],
    ['an unknown alert', () => 'alerts review alert_nowhere', { code: 'alert_not_found' }],
    ['a search for nothing', () => 'alerts list --search "%"', { code: 'alert_invalid', field: 'text' }],
  ])('%s', async (_, line, expected) => {
    vi.spyOn(process.stderr, 'write').mockReturnValue(true);
    onTestFinished(() => void vi.restoreAllMocks());
    await expect(run(line())).rejects.toMatchObject(expected);
  });
});

test('the statistics count what there is and how it went', async () => {
  const printed = await run('alerts stats --by severity --trend');

  expect(printed).toMatch(/^STATUS +LOW +MEDIUM +HIGH +CRITICAL\nopen +\d+ +\d+ +\d+ +\d+$/m);
  expect(printed).toMatch(/^critical +1 +1 +0 min +0 min +0 % +0 %$/m);
  expect(printed).toMatch(/^20\d\d-\d\d-\d\d +\d+ +\d+ +█+░+$/m);
  const { now, metrics, trend } = await document('alerts stats');
  expect(now).toMatchObject({ byStatus: { resolved: { critical: 1 } } });
  expect(metrics).toMatchObject({ parts: [] });
  expect(trend).toEqual([]);
});

describe('watching', () => {
  const raiseHigh = (title: string, more: Partial<NewAlertInput> = {}) =>
    new ComplianceService({ database }).createAlert({ alertType: 'pep_screening', severity: 'high', title, ...more });

  test('prints each new alert once, and ends with 0', async () => {
    await raiseHigh('Before');
    const watching = startCli(['alerts', 'watch', '--severity', 'high'], { env: env() });
    await watching.untilLine(/^Watching/);

    await raiseHigh('Another severity', { severity: 'low' });
    const first = await raiseHigh('First');
    await watching.untilLine(/First$/);
    // What it is about happened long ago, or is dated by a clock that is fast.
    await raiseHigh('Second', { triggeredAt: new Date('2020-01-01') });
    await watching.untilLine(/Second$/);
    await raiseHigh('Third', { triggeredAt: new Date('2126-01-01') });
    await watching.untilLine(/Third$/);
    await raiseHigh('Fourth');
    await watching.untilLine(/Fourth$/);
    watching.kill('SIGINT');

    const { code, stdout } = await watching.untilExit();
    expect(code).toBe(0);
    expect(stdout.split('\n')).toEqual([
      expect.stringMatching(/^Watching/),
      expect.stringMatching(new RegExp(`^20.*Z  high      ${first.alertId}  pep_screening  First$`)),
      expect.stringMatching(/Second$/),
      expect.stringMatching(/Third$/),
      expect.stringMatching(/Fourth$/),
      '',
    ]);
  });

  test('gives a program one JSON document a line and nothing else', async () => {
    const watching = startCli(['alerts', 'watch', '--json', '--customer-id', 'watched'], { env: env() });
    await raiseUntil(watching.untilLine(/^\{.*"title":"One"/), 'One');
    const { id } = await raiseHigh('Two', { customerId: 'watched', details: { lines: 'a\nb' } });
    await watching.untilLine(/"title":"Two"/);
    watching.kill('SIGTERM');

    const { code, stdout } = await watching.untilExit();
    expect(code).toBe(0);
    const alerts = stdout
      .trimEnd()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    expect(alerts.at(-1)).toMatchObject({ id, title: 'Two', status: 'open', details: { lines: 'a\nb' } });
  });

  /** It says nothing when it begins: alerts are raised until it has seen one. */
  async function raiseUntil(seen: Promise<unknown>, title: string): Promise<void> {
    const isSeen = seen.then(() => true);
    do await raiseHigh(title, { customerId: 'watched' });
    while (!(await Promise.race([isSeen, Promise.resolve(false)])));
  }

  test('is for PostgreSQL: the embedded database serves one process', async () => {
    const { code, stderr } = await cli(['alerts', 'watch']);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^database_serves_one_process: .* watching needs PostgreSQL\.$/m);
  });
});
