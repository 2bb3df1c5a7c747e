import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Alert, type AlertStatus, alertStatuses, isDecided } from '../../src/compliance/alert.ts';
import { alertWriteError } from '../../src/compliance/alertErrors.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { refusalOfMove } from '../../src/compliance/workflow.ts';
import { MoonguardError } from '../../src/errors.ts';
import { asUser } from '../support/asUser.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

interface Step {
  readonly to: AlertStatus;
  readonly person: string;
  readonly words: string | undefined;
}

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.record({
    to: fc.constantFrom(...alertStatuses),
    person: fc.constantFrom('anna', 'otto', 'mia'),
    words: fc.constantFrom(undefined, ' ', 'because'),
  }),
  { minLength: 1, maxLength: 15 },
);

/** What became of a step: the alert, or why it was refused. */
type Outcome = { readonly alert: Alert } | { readonly code: string; readonly message: string };

async function outcomeOf(attempt: Promise<Alert>): Promise<Outcome> {
  try {
    return { alert: await attempt };
  } catch (error) {
    const refusal = alertWriteError(error);
    if (!(refusal instanceof MoonguardError)) throw error;
    return { code: refusal.code, message: refusal.message };
  }
}

/** Of an alert right after this step. */
const whatMustHold = ({ to, person }: Step): object => ({
  status: to,
  resolvedBy: isDecided(to) ? person : null,
  resolvedAt: isDecided(to) ? expect.any(Date) : null,
  resolutionNotes: isDecided(to) ? 'because' : null,
  ...(to === 'in_review' && { reviewedBy: person, reviewedAt: expect.any(Date) }),
  ...(to === 'escalated' && { escalatedAt: expect.any(Date) }),
});

forEachDatabase('random moves by random people', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const raise = (): Promise<Alert> =>
    compliance.createAlert({ alertType: 'aml_screening', severity: 'high', title: 'Suspicion' });

  const byService = (id: string, { to, person, words }: Step): Promise<Alert> =>
    compliance.updateAlertStatus(id, to, words, { actor: person });

  /** As psql or supabase-js would do it, with the claims of a signed-in officer. */
  const bySql = async (id: string, { to, person, words }: Step): Promise<Alert> => {
    const column = isDecided(to) ? 'resolution_notes' : 'status_reason';
    await asUser(database, { sub: person, role: 'compliance_officer' }, (transaction) =>
      sql`
        update moonpay_compliance_alerts set status = ${to}, ${sql.ref(column)} = ${words ?? null} where id = ${id}
      `.execute(transaction),
    );
    return compliance.getAlert(id);
  };

  test('go by the table, through the service and in SQL alike, and leave a complete history', async () => {
    await fc.assert(
      fc.asyncProperty(steps, async (walk) => {
        const [inService, inSql] = [await raise(), await raise()];
        let status: AlertStatus = 'open';
        let moves = 0;
        for (const step of walk) {
          if (step.to === status) continue; // no move
          const expected = refusalOfMove(status, step.to, step.words?.trim() === '' ? undefined : step.words);
          const outcomes = [await outcomeOf(byService(inService.id, step)), await outcomeOf(bySql(inSql.id, step))];
          if (expected === undefined) {
            status = step.to;
            moves += 1;
            for (const outcome of outcomes) expect(outcome).toMatchObject({ alert: whatMustHold(step) });
          } else {
            const { code, message } = expected;
            expect(outcomes).toEqual([
              { code, message },
              { code, message },
            ]);
          }
        }
        for (const { id } of [inService, inSql]) await expectCompleteHistory(compliance, id, moves);
      }),
      { numRuns: 25 },
    );
  });

  test("an analyst moves what is his or nobody's, a developer nothing", async () => {
    const { id } = await raise();
    await compliance.assign(id, 'anna');
    const review = (sub: string, role: 'compliance_analyst' | 'developer') =>
      asUser(database, { sub, role }, (transaction) =>
        sql`update moonpay_compliance_alerts set status = 'in_review' where id = ${id}`.execute(transaction),
      );
    await review('otto', 'compliance_analyst');
    await review('anna', 'developer');
    expect((await compliance.getAlert(id)).status).toBe('open');
    await review('anna', 'compliance_analyst');
    expect(await compliance.getAlert(id)).toMatchObject({ status: 'in_review', reviewedBy: 'anna' });
  });

  test('who comes with a verified identity acts as himself, whatever he writes', async () => {
    const { id } = await raise();
    await asUser(database, { sub: 'anna', role: 'compliance_officer' }, (transaction) =>
      sql`
        update moonpay_compliance_alerts set status = 'resolved', resolution_notes = 'Settled', resolved_by = 'otto' where id = ${id}
      `.execute(transaction),
    );
    expect((await compliance.getAlert(id)).resolvedBy).toBe('anna');
    expect((await compliance.getTimeline(id)).at(-1)).toMatchObject({
      actor: 'anna',
      action: 'moved',
      reason: 'Settled',
    });
  });

  test('ten people at once: one moves it, the others are told how it stands', async () => {
    const { id } = await raise();
    const people = Array.from({ length: 10 }, (_, i) => `person ${i}`);
    // Each has a connection by now, so that nobody is late.
    await Promise.all(people.map(() => compliance.getAlert(id)));
    const outcomes = await Promise.all(people.map((actor) => outcomeOf(compliance.resolve(id, 'Settled', { actor }))));
    expect(outcomes.filter((outcome) => 'alert' in outcome)).toHaveLength(1);
    expect(new Set(outcomes.flatMap((outcome) => ('code' in outcome ? [outcome.code] : [])))).toEqual(
      new Set(['alert_move_not_allowed']),
    );
    expect(await compliance.getTimeline(id)).toHaveLength(2);
  });
});

/** One entry for each change, each from where the last one led to, that together make up the alert as it is. */
async function expectCompleteHistory(compliance: ComplianceService, id: string, moves: number): Promise<void> {
  const timeline = await compliance.getTimeline(id);
  const alert = await compliance.getAlert(id);
  expect(timeline.map(({ alertVersion }) => alertVersion)).toEqual(Array.from({ length: moves + 1 }, (_, i) => i + 1));
  expect(alert.version).toBe(moves + 1);
  for (const [i, entry] of timeline.entries()) {
    expect(entry.fromStatus).toBe(timeline[i - 1]?.toStatus ?? null);
    expect(entry.at.getTime()).toBeGreaterThanOrEqual(timeline[i - 1]?.at.getTime() ?? 0);
  }
  const rebuilt = Object.assign({}, ...timeline.map(({ after }) => after));
  expect(rebuilt).toMatchObject({
    status: alert.status,
    resolved_by: alert.resolvedBy,
    resolution_notes: alert.resolutionNotes,
    reviewed_by: alert.reviewedBy,
  });
}
