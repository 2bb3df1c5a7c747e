import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import type { NewAlertInput } from '../../src/compliance/alertInput.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { getGroup, listGroups, mergeAlerts, unmergeAlert } from '../../src/compliance/groups.ts';
import { runAlertSchedule } from '../../src/compliance/store/runAlertSchedule.ts';
import type { Db } from '../../src/database/database.ts';
import { attempt, signedIn } from '../support/caller.ts';
import { meanwhile } from '../support/meanwhile.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** Alerts by what they are about; in some order, so that groups grow together late. */
const findings = fc.array(
  fc.record(
    {
      customerId: fc.constantFrom('c1', 'c2', 'c3', 'c4'),
      walletAddress: fc.constantFrom('w1', 'w2', 'w3'),
      transactionId: fc.constantFrom('t1', 't2', 't3'),
      correlationId: fc.constantFrom('m1', 'm2'),
    },
    { requiredKeys: [] },
  ),
  // More of a kind than one is linked with: their group has them all.
  { minLength: 2, maxLength: 11 },
);
type Finding = Readonly<Record<string, string>>;

/** Which findings belong together: those with something in common, and those in common with these. */
function components(all: readonly Finding[]): number[] {
  const group = all.map((_, i) => i);
  const haveInCommon = (a: Finding, b: Finding): boolean => Object.entries(a).some(([key, value]) => b[key] === value);
  for (const [i, one] of all.entries()) {
    for (const [j, other] of all.entries()) {
      if (!haveInCommon(one, other)) continue;
      const [from, to] = [group[j], group[i]];
      for (const [k, of] of group.entries()) if (of === from && to !== undefined) group[k] = to;
    }
  }
  return group;
}

/** The same partition has the same form: each member is named by the first of its group. */
const partition = (groups: readonly unknown[]): number[] => groups.map((group) => groups.indexOf(group));

forEachDatabase('groups of alerts', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const found = { alertType: 'aml_screening', severity: 'low', title: 'Found' } as const;
  const raise = (more: Partial<NewAlertInput> = {}, transaction?: Db): Promise<Alert> =>
    compliance.createAlert({ ...found, ...more }, { transaction });
  const read = (alert: Alert | undefined): Promise<Alert> => compliance.getAlert(alert?.id ?? '');
  const members = async ({ id }: Alert): Promise<string[]> =>
    (await getGroup(database.db, id)).map((alert) => alert.id);

  test('are the alerts that hang together, in whatever order they come', async () => {
    let run = 0;
    await fc.assert(
      fc.asyncProperty(findings, async (given) => {
        run += 1;
        const alerts: Alert[] = [];
        for (const finding of given) {
          const ofThisRun = Object.fromEntries(Object.entries(finding).map(([key, value]) => [key, `${run}:${value}`]));
          alerts.push(await raise(ofThisRun));
        }
        const roots: string[] = [];
        for (const { id, groupId } of alerts) {
          const { rows } = await sql<{ root: string }>`select moonguard.group_root(${groupId ?? id}) as root`.execute(
            database.db,
          );
          roots.push(rows[0]?.root ?? '');
        }
        expect(partition(roots)).toEqual(partition(components(given)));
        for (const alert of alerts) {
          const root = roots[alerts.indexOf(alert)];
          const together = alerts.filter((_, i) => roots[i] === root).map(({ id }) => id);
          expect((await members(alert)).toSorted()).toEqual(together.toSorted());
        }
      }),
      { numRuns: 20 },
    );
  });

  test('grow together by a link that somebody sets', async () => {
    const [one, other] = [await raise({ customerId: 'by hand 1' }), await raise({ customerId: 'by hand 2' })];
    const third = await raise({ customerId: 'by hand 2' });
    expect(await members(one)).toEqual([one.id]);
    await compliance.link(one.id, third.id);
    expect(new Set(await members(other))).toEqual(new Set([one.id, other.id, third.id]));
  });

  test('are joined when two transactions find the same at once', async () => {
    const [a, b, c] = [
      await raise({ customerId: 'at once a' }),
      await raise({ customerId: 'at once b' }),
      await raise({ customerId: 'at once c' }),
    ];
    // Both join the group of c, which is the youngest, into another one.
    await meanwhile(
      database,
      (transaction) => sql`select moonguard.join_groups(${a.id}, ${c.id})`.execute(transaction),
      () => sql`select moonguard.join_groups(${b.id}, ${c.id})`.execute(database.db),
    );
    expect(new Set(await members(a))).toEqual(new Set([a.id, b.id, c.id]));
  });

  test('those that were raised at the same moment are joined by the schedule, a minute later', async () => {
    const atOnce = { customerId: 'the same moment' };
    const [one, other] = await database.transaction(async (transaction) => {
      const first = await compliance.createAlert({ ...found, ...atOnce }, { transaction });
      // The one session of the embedded database cannot raise two at once.
      const second = database.kind === 'postgres' ? await raise(atOnce) : await raise(atOnce, transaction);
      return [first, second];
    });
    const inSeconds = (seconds: number): Date => new Date(Date.now() + seconds * 1000);
    if (database.kind === 'postgres') {
      await runAlertSchedule(database.db, { now: inSeconds(50) });
      expect(await members(one)).toEqual([one.id]);
    }
    await runAlertSchedule(database.db, { now: inSeconds(90) });
    // The other direction of a link that was found just now.
    await runAlertSchedule(database.db, { now: inSeconds(120) });
    expect((await members(one)).toSorted()).toEqual([one.id, other.id].toSorted());
    expect(await read(one)).toMatchObject({ relatedAlerts: [other.alertId] });
    expect(await read(other)).toMatchObject({ relatedAlerts: [one.alertId] });
  });

  test('are filtered by any name that they have or had', async () => {
    const one = await raise({ customerId: 'name 1', title: 'Namesake' });
    const other = await raise({ customerId: 'name 2', title: 'Namesake' });
    const later = await raise({ customerId: 'name 2', title: 'Namesake' });
    expect(later.groupId).toBe(other.id);
    await compliance.link(one.id, later.id);
    const all = new Set([one.id, other.id, later.id]);
    for (const groupId of [one.id, other.id]) {
      const listed = (await compliance.listAlerts({ groupId })).items.map(({ id }) => id);
      const searched = (await compliance.searchAlerts('namesake', { groupId })).items.map(({ id }) => id);
      expect(new Set(listed)).toEqual(all);
      expect(new Set(searched)).toEqual(all);
      expect(await compliance.countAlerts({ groupId })).toEqual({ count: 3, isExact: true });
    }
    const alone = await raise({ customerId: 'name alone' });
    expect((await compliance.listAlerts({ groupId: alone.id })).items).toMatchObject([{ id: alone.id }]);
    expect((await compliance.listAlerts({ groupId: '0199f2c4-a1b2-7d3e-8c5f-6a7b8c9d0e1f' })).items).toEqual([]);
  });

  test('are listed while there is something to decide in them, the newest first', async () => {
    const made: Alert[] = [];
    for (const customerId of ['list 1', 'list 2', 'list 3']) {
      made.push(await raise({ customerId }));
      await raise({ customerId, severity: 'critical' });
    }
    await raise({ customerId: 'list alone' });
    const decided = await raise({ customerId: 'list decided' });
    await compliance.dismiss(decided.id, 'Nothing');
    await compliance.dismiss((await raise({ customerId: 'list decided' })).id, 'Nothing');
    await compliance.dismiss(made[1]?.id ?? '', 'Nothing');

    const groups: unknown[] = [];
    let cursor: string | undefined;
    do {
      const page = await listGroups(database.db, { limit: 2, ...(cursor !== undefined && { cursor }) });
      groups.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor !== undefined && groups.length < 4);
    expect(groups.slice(0, 3)).toMatchObject([
      { id: made[2]?.id, alerts: 2, undecided: 2, worstSeverity: 'critical', customerIds: ['list 3'] },
      { id: made[1]?.id, alerts: 2, undecided: 1, customerIds: ['list 2'] },
      { id: made[0]?.id, alerts: 2, undecided: 2, customerIds: ['list 1'] },
    ]);
  });

  describe('merging', () => {
    const merged = async (...severities: Alert['severity'][]): Promise<Alert[]> => {
      const alerts: Alert[] = [];
      for (const severity of ['low', ...severities] as const) alerts.push(await raise({ severity }));
      const [lead, ...others] = alerts;
      if (lead === undefined) throw new Error('there is no lead');
      return [
        await mergeAlerts(
          database,
          lead.id,
          others.map(({ alertId }) => alertId),
          { actor: 'anna' },
        ),
        ...others,
      ];
    };

    test('makes one piece of work, as bad as the worst, in one group', async () => {
      const [lead, one, other] = await merged('high', 'medium');
      expect(lead).toMatchObject({ severity: 'high', mergedInto: null });
      expect(await read(one)).toMatchObject({ mergedInto: lead?.id, status: 'open' });
      expect(new Set(lead === undefined ? [] : await members(lead))).toEqual(new Set([lead?.id, one?.id, other?.id]));
      expect((await compliance.getTimeline(one?.id ?? '')).at(-1)).toMatchObject({
        actor: 'anna',
        after: { merged_into: lead?.id },
      });
    });

    test('carries every move and the person to the others, with its own history', async () => {
      const [lead, one, other] = await merged('low', 'low');
      const id = lead?.id ?? '';
      await compliance.assign(id, 'otto', { actor: 'anna' });
      await compliance.startReview(id, { actor: 'otto' });
      await compliance.escalate(id, { to: 'olga', reason: 'Above my limit' }, { actor: 'otto' });
      for (const alert of [one, other]) {
        expect(await read(alert)).toMatchObject({
          assignedTo: 'otto',
          status: 'escalated',
          escalatedTo: 'olga',
          statusReason: 'Above my limit',
          reviewedBy: 'otto',
        });
      }
      await compliance.resolve(id, 'Funds explained', { actor: 'olga' });
      expect(await read(one)).toMatchObject({
        status: 'resolved',
        resolvedBy: 'olga',
        resolutionNotes: 'Funds explained',
        resolvedAt: expect.any(Date),
      });
      await compliance.reopen(id, 'New evidence', { actor: 'mia' });
      expect(await read(one)).toMatchObject({ status: 'open', statusReason: 'New evidence', resolvedBy: null });
      expect(
        (await compliance.getTimeline(one?.id ?? '')).map(({ action, actor, toStatus }) => [action, actor, toStatus]),
      ).toEqual([
        ['created', 'system', 'open'],
        ['changed', 'anna', 'open'],
        ['changed', 'anna', 'open'],
        ['moved', 'otto', 'in_review'],
        ['moved', 'otto', 'escalated'],
        ['moved', 'olga', 'resolved'],
        ['moved', 'mia', 'open'],
      ]);
    });

    test('one of the others is not moved by itself, until it is taken out', async () => {
      const [lead, one] = await merged('low');
      const error = await refusal(compliance.dismiss(one?.id ?? '', 'Nothing'));
      expect(error).toMatchObject({
        code: 'alert_merged',
        message: expect.stringContaining(lead?.alertId ?? 'no lead'),
      });
      await unmergeAlert(database, one?.id ?? '', { actor: 'anna' });
      expect(await compliance.dismiss(one?.id ?? '', 'Nothing')).toMatchObject({
        status: 'dismissed',
        mergedInto: null,
      });
      expect(await read(lead)).toMatchObject({ status: 'open' });
    });

    test('a hit on one of the others makes the lead as bad', async () => {
      const lead = await raise();
      const other = await raise({ dedupeKey: 'hit on merged' });
      await mergeAlerts(database, lead.id, [other.id]);
      await raise({ dedupeKey: 'hit on merged', severity: 'critical', riskScore: 90 });
      expect(await read(lead)).toMatchObject({
        severity: 'critical',
        riskScore: 90,
        riskLevel: 'extreme',
        occurrenceCount: 1,
      });
      expect(await read(other)).toMatchObject({ occurrenceCount: 2 });
    });

    test('a hit on one of the others starts the deadline of the lead again, and what was proposed lapses', async () => {
      const lead = await raise({ severity: 'critical', dueAt: new Date(Date.now() + 60_000) });
      const other = await raise({ dedupeKey: 'deadline of the lead' });
      await mergeAlerts(database, lead.id, [other.id]);
      await runAlertSchedule(database.db, { now: new Date(Date.now() + 120_000) });
      await compliance.proposeDecision(lead.id, 'dismissed', 'Nothing', { actor: 'anna' });
      expect(await read(lead)).toMatchObject({ deadlineStep: 'breached', proposedBy: 'anna' });

      await raise({ dedupeKey: 'deadline of the lead' });

      const now = await read(lead);
      expect(now).toMatchObject({ deadlineStep: 'running', proposedStatus: null, proposedBy: null });
      expect(now.breachedAt).not.toBeNull();
      // Critical: four hours, round the clock.
      expect((now.dueAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(3.9 * 3_600_000);
      expect(await read(other)).toMatchObject({ deadlineStep: 'none', occurrenceCount: 2 });
    });

    test('one whose cause has another open alert by then stays decided when the lead is reopened', async () => {
      const lead = await raise();
      const other = await raise({ dedupeKey: 'reopened twice' });
      await mergeAlerts(database, lead.id, [other.id]);
      await compliance.dismiss(lead.id, 'Nothing');
      await raise({ dedupeKey: 'reopened twice' });
      expect(await compliance.reopen(lead.id, 'New evidence')).toMatchObject({ status: 'open' });
      expect(await read(other)).toMatchObject({ status: 'dismissed' });
    });

    test('is refused where it makes no sense, for every client', async () => {
      const [lead, one] = await merged('low');
      const decided = await raise();
      await compliance.dismiss(decided.id, 'Nothing');
      const alone = await raise();
      const merge = (into: Alert | undefined, other: Alert | undefined) =>
        mergeAlerts(database, into?.id ?? '', [other?.id ?? '']);
      for (const [into, other] of [
        [one, alone],
        [alone, lead],
        [decided, alone],
        [alone, decided],
      ] as const) {
        expect((await refusal(merge(into, other))).code).toBe('alert_merged');
        const statement = `update moonpay_compliance_alerts set merged_into = '${into?.id}' where id = '${other?.id}'`;
        expect(await attempt(database, signedIn('compliance_officer'), statement)).toMatchObject({
          constraint: 'moonpay_compliance_alerts_merged',
        });
      }
      expect(await refusal(merge(alone, alone))).toMatchObject({ code: 'alert_invalid', field: 'others' });
      expect((await refusal(mergeAlerts(database, alone.id, ['alert_of_nobody']))).code).toBe('alert_not_found');
      expect(await refusal(mergeAlerts(database, alone.id, []))).toMatchObject({ code: 'alert_invalid' });
    });

    test('never makes a chain, also when two merge at once', async () => {
      const [a, b, c] = [await raise(), await raise(), await raise()];
      const second = meanwhile(
        database,
        (transaction) => mergeAlerts(database, b.id, [a.id], { transaction }),
        () => mergeAlerts(database, c.id, [b.id]),
      );
      expect((await refusal(second)).code).toBe('alert_merged');
      expect(await read(a)).toMatchObject({ mergedInto: b.id });
    });
  });
});
