import * as fc from 'fast-check';
import { type RawBuilder, sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { alertWriteError } from '../../src/compliance/alertErrors.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { databaseErrorReport } from '../../src/database/databaseError.ts';
import { MoonguardError } from '../../src/errors.ts';
import { asUser, type User } from '../support/asUser.ts';
import { type Caller, signedIn, attempt as tryAs } from '../support/caller.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { WALKS, WALKS_WITHIN_MS } from '../support/walks.ts';
import { expectCompleteHistory } from './alertHistory.ts';
import { anyWalk, newWorld, type Step, take } from './alertModel.ts';

const finding = { alertType: 'aml_screening', severity: 'high', title: 'Suspicion' } as const;

/** What psql or supabase-js would send. */
function statement(id: string, dedupeKey: string, step: Step): RawBuilder<unknown> {
  switch (step.does) {
    case 'move': {
      const column = step.to === 'resolved' || step.to === 'dismissed' ? 'resolution_notes' : 'status_reason';
      return sql`
        update moonpay_compliance_alerts set status = ${step.to}, ${sql.ref(column)} = ${step.words ?? null} where id = ${id}`;
    }
    case 'propose':
      return sql`
        update moonpay_compliance_alerts set proposed_status = ${step.to}, proposed_notes = ${step.words ?? null}
        where id = ${id}`;
    case 'assign':
      return sql`update moonpay_compliance_alerts set assigned_to = ${step.to} where id = ${id}`;
    case 'comment':
      return sql`
        insert into moonpay_alert_timeline (alert_id, action, reason) values (${id}, 'commented', 'Called the customer')`;
    case 'hit':
      return sql`select moonguard.raise_alert(${JSON.stringify({
        alert_type: finding.alertType,
        title: finding.title,
        severity: step.severity,
        dedupe_key: dedupeKey,
      })}::jsonb)`;
    case 'rate':
      return sql`update moonpay_compliance_alerts set severity = ${step.severity} where id = ${id}`;
    case 'four eyes':
      return sql`update moonguard.alert_settings set four_eyes = ${step.on}`;
  }
}

forEachDatabase('the case workflow in SQL', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let raised = 0;
  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  /** The code of the refusal; undefined when it was done. Every refusal of a move names those that are allowed. */
  async function outcomeOf(id: string, dedupeKey: string, step: Step): Promise<string | undefined> {
    const by = step.does === 'four eyes' ? 'otto' : step.by;
    const user: User = { sub: by ?? '', role: 'compliance_officer' };
    try {
      await asUser(database, user, (transaction) => statement(id, dedupeKey, step).execute(transaction));
      return undefined;
    } catch (error) {
      const refusal = alertWriteError(error);
      if (!(refusal instanceof MoonguardError)) throw error;
      if (refusal.code === 'alert_move_not_allowed') expect(refusal.message).toMatch(/Allowed from \w+: \w+/);
      return refusal.code;
    }
  }

  test(
    'does what the model does on any walk of any officers',
    async () => {
      await fc.assert(
        fc.asyncProperty(anyWalk, async (walk) => {
          await compliance.settings.update({ fourEyes: true });
          raised += 1;
          const dedupeKey = `walk ${raised}`;
          const { id } = await compliance.createAlert({ ...finding, dedupeKey });
          const world = newWorld();
          for (const next of walk) {
            // Writing what is there already is no step; and that somebody is nobody is refused for moves and words only.
            if (next.does === 'move' && next.to === world.alert.status) continue;
            if (next.does === 'propose' && next.to === world.alert.proposedStatus) continue;
            if (next.does === 'assign' && next.by === undefined) continue;
            const expected = take(world, next);
            expect(await outcomeOf(id, dedupeKey, next), JSON.stringify(next)).toBe(expected);
            expect(await compliance.getAlert(id)).toMatchObject(world.alert);
          }
          await expectCompleteHistory(database.db, id);
        }),
        { numRuns: WALKS },
      );
    },
    WALKS_WITHIN_MS,
  );

  const raise = async (change = ''): Promise<string> => {
    await compliance.settings.update({ fourEyes: false });
    const { id } = await compliance.createAlert({ ...finding, severity: 'high' });
    if (change !== '') {
      await sql.raw(`update moonpay_compliance_alerts set ${change} where id = '${id}'`).execute(database.db);
    }
    return id;
  };
  const done = { rows: 1 };
  const notSeen = { rows: 0 };

  test('an analyst works on what is his and on what is nobody’s', async () => {
    const ana = signedIn('compliance_analyst', 'ana');
    const review = (id: string): string =>
      `update moonpay_compliance_alerts set status = 'in_review' where id = '${id}'`;
    const comment = (id: string): string =>
      `insert into moonpay_alert_timeline (alert_id, action, reason) values ('${id}', 'commented', 'Called')`;
    const [free, hers, others] = [
      await raise(),
      await raise("assigned_to = 'ana'"),
      await raise("assigned_to = 'otto'"),
    ];
    for (const id of [free, hers]) {
      expect(await tryAs(database, ana, review(id))).toEqual(done);
      expect(await tryAs(database, ana, comment(id))).toEqual(done);
    }
    expect(await tryAs(database, ana, review(others))).toEqual(notSeen);
    expect(await tryAs(database, ana, comment(others))).toMatchObject({ code: '42501' });
  });

  test('an auditor only reads, and to a developer there is no alert', async () => {
    const id = await raise();
    const nowhere = '00000000-0000-7000-8000-000000000000';
    const review = (alert: string): string =>
      `update moonpay_compliance_alerts set status = 'in_review' where id = '${alert}'`;
    const comment = (alert: string): string =>
      `insert into moonguard.alert_timeline (alert_id, action, reason) values ('${alert}', 'commented', 'Called')`;
    expect(await tryAs(database, signedIn('auditor'), review(id))).toEqual(notSeen);
    expect(await tryAs(database, signedIn('auditor'), comment(id))).toMatchObject({ code: '42501' });
    for (const statementFor of [review, comment]) {
      const developer = await refusalText(signedIn('developer'), statementFor(id));
      expect(developer).toBe(await refusalText(signedIn('developer'), statementFor(nowhere)));
    }
  });

  async function refusalText({ claims = '{}' }: Caller, text: string): Promise<string> {
    const { sub, app_metadata: metadata } = JSON.parse(claims);
    const user: User = { sub, role: metadata.moonpay_role };
    try {
      const { numAffectedRows } = await asUser(database, user, (transaction) => sql.raw(text).execute(transaction));
      return `${numAffectedRows} rows`;
    } catch (error) {
      return databaseErrorReport(error).message;
    }
  }

  test('under four eyes an analyst proposes and an officer decides', async () => {
    const id = await raise();
    await compliance.settings.update({ fourEyes: true });
    await compliance.proposeDecision(id, 'resolved', 'because', { actor: 'mia' });
    const decide = `update moonpay_compliance_alerts set status = 'resolved' where id = '${id}'`;
    expect(await tryAs(database, signedIn('compliance_analyst', 'ana'), decide)).toMatchObject({
      constraint: 'moonpay_compliance_alerts_second_person',
    });
    expect(await tryAs(database, signedIn('compliance_officer', 'MIA '), decide)).toMatchObject({
      constraint: 'moonpay_compliance_alerts_second_person',
    });
    expect(await tryAs(database, signedIn('compliance_officer', 'otto'), decide)).toEqual(done);
  });

  test('what follows from other columns is not written', async () => {
    const id = await raise();
    const officer = signedIn('compliance_officer');
    for (const column of ['peak_severity', 'proposed_by', 'resolved_at', 'first_reviewed_at', 'occurrence_count']) {
      const write = `update moonpay_compliance_alerts set ${column} = default where id = '${id}'`;
      expect(await tryAs(database, officer, write), column).toMatchObject({ code: '42501' });
    }
    // The service role may write every column, which changes nothing.
    await tryAs(
      database,
      { role: 'service_role' },
      `update moonpay_compliance_alerts set peak_severity = 'low', first_reviewed_at = now(), proposed_by = 'x', resolved_by = 'x' where id = '${id}'`,
      `do $$ begin assert (select peak_severity = 'high' and first_reviewed_at is null and proposed_by is null and resolved_by is null
         from moonpay_compliance_alerts where id = '${id}'); end $$`,
    ).then((outcome) => expect(outcome).not.toHaveProperty('code'));
    const born =
      "insert into moonpay_compliance_alerts (alert_type, title, status) values ('aml_screening', 't', 'in_review')";
    expect(await tryAs(database, officer, born)).toMatchObject({ constraint: 'moonpay_compliance_alerts_workflow' });
    const forged = `insert into moonguard.alert_timeline (alert_id, action, reason) values ('${id}', 'moved', 'r')`;
    expect(await tryAs(database, officer, forged)).toMatchObject({ code: '42501' });
    // Nobody but the trigger can say who did it.
    expect(await tryAs(database, { role: 'service_role' }, forged)).toMatchObject({ code: '23502' });
  });

  test('whoever writes the version that he read is told when it is another one by now', async () => {
    const id = await raise("title = 'Changed'");
    const officer = signedIn('compliance_officer');
    const write = (version: number): string =>
      `update moonpay_compliance_alerts set assigned_to = 'otto', version = ${version} where id = '${id}'`;
    expect(await tryAs(database, officer, write(1))).toMatchObject({
      constraint: 'moonpay_compliance_alerts_version',
    });
    expect(await tryAs(database, officer, write(2))).toEqual(done);
  });
});
