import * as fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { asActor } from '../../src/database/asActor.ts';
import type { Database } from '../../src/database/database.ts';
import { MoonguardError } from '../../src/errors.ts';
import { forEachDatabase, openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';
import { WALKS, WALKS_WITHIN_MS } from '../support/walks.ts';
import { expectCompleteHistory } from './alertHistory.ts';
import { anyMove, anyWalk, needsTwo, newWorld, type Step, take } from './alertModel.ts';

const finding = { alertType: 'aml_screening', severity: 'high', title: 'Suspicion' } as const;

async function walkStep(database: Database, compliance: ComplianceService, alert: Alert, step: Step): Promise<void> {
  switch (step.does) {
    case 'move':
      await compliance.updateAlertStatus(alert.id, step.to, step.words, { actor: step.by ?? '' });
      return;
    case 'propose':
      await compliance.proposeDecision(alert.id, step.to, step.words ?? '', { actor: step.by ?? '' });
      return;
    case 'assign':
      await compliance.assign(alert.id, step.to, { actor: step.by ?? '' });
      return;
    case 'comment':
      await compliance.comment(alert.id, 'Called the customer', { actor: step.by ?? '' });
      return;
    case 'hit':
      await compliance.createAlert(
        { ...finding, severity: step.severity, dedupeKey: alert.dedupeKey ?? '' },
        { actor: step.by },
      );
      return;
    case 'rate':
      await database.transaction((transaction) =>
        asActor(transaction, step.by, () =>
          sql`update moonpay_compliance_alerts set severity = ${step.severity} where id = ${alert.id}`.execute(
            transaction,
          ),
        ),
      );
      return;
    case 'four eyes':
      await compliance.settings.update({ fourEyes: step.on });
      return;
  }
}

/** The code that the step is refused with; undefined when it was done. */
async function outcomeOf(attempt: Promise<void>): Promise<string | undefined> {
  try {
    await attempt;
    return undefined;
  } catch (error) {
    if (error instanceof MoonguardError) return error.code;
    throw error;
  }
}

forEachDatabase('the case workflow', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;
  let raised = 0;
  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  test(
    'does what the model does on any walk of any people',
    async () => {
      await fc.assert(
        fc.asyncProperty(anyWalk, async (walk) => {
          await compliance.settings.update({ fourEyes: true });
          raised += 1;
          const alert = await compliance.createAlert({ ...finding, dedupeKey: `walk ${raised}` });
          const world = newWorld();
          for (const next of walk) {
            const expected = take(world, next);
            expect(await outcomeOf(walkStep(database, compliance, alert, next)), JSON.stringify(next)).toBe(expected);
            const now = await compliance.getAlert(alert.id);
            expect(now).toMatchObject(world.alert);
            if (expected === undefined && next.does === 'move' && now.resolvedBy !== null && needsTwo(world)) {
              expect(now.proposedStatus).toBe(now.status);
              expect(now.proposedBy).not.toBe(now.resolvedBy);
            }
          }
          await expectCompleteHistory(database.db, alert.id);
        }),
        { numRuns: WALKS },
      );
    },
    WALKS_WITHIN_MS,
  );
});

describe('sixteen clients at the same eight alerts', () => {
  const CLIENTS = 16;
  const STEPS = 60;
  const knownRefusals = [
    'alert_move_not_allowed',
    'alert_actor_missing',
    'alert_resolution_incomplete',
    'alert_second_person_needed',
    'alert_invalid',
  ];
  let database: TestDatabase;
  let compliance: ComplianceService;
  let alerts: Alert[];

  beforeAll(async () => {
    database = await openTestDatabase('postgres', { maxConnections: CLIENTS });
    compliance = new ComplianceService({ database });
    await compliance.settings.update({ fourEyes: true });
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    alerts = [];
    for (let i = 0; i < 8; i += 1) alerts.push(await compliance.createAlert({ ...finding, severity: 'high' }));
  });

  test(
    'leave histories that one after the other could have written',
    async () => {
      const choice = fc.tuple(fc.nat({ max: 7 }), anyMove);
      const walks = fc.sample(fc.array(choice, { minLength: STEPS, maxLength: STEPS, size: 'max' }), {
        numRuns: CLIENTS,
        seed: 20_261_123,
      });
      const done = await Promise.all(
        walks.map(async (walk) => {
          const codes: (string | undefined)[] = [];
          for (const [index, next] of walk) {
            const alert = alerts[index];
            if (alert !== undefined) codes.push(await outcomeOf(walkStep(database, compliance, alert, next)));
          }
          return codes;
        }),
      );
      const codes = done.flat();
      expect(codes).toHaveLength(CLIENTS * STEPS);
      expect(codes.filter((code) => code !== undefined && !knownRefusals.includes(code))).toEqual([]);

      let moves = 0;
      for (const { id } of alerts) {
        await expectCompleteHistory(database.db, id);
        moves += await decisionsByTwo(id);
      }
      expect(codes.filter((code) => code === undefined).length).toBeGreaterThan(100);
      expect(moves).toBeGreaterThan(8);
    },
    WALKS_WITHIN_MS,
  );

  /** How many decisions there were; each was proposed before, by somebody else. */
  async function decisionsByTwo(id: string): Promise<number> {
    let row: Record<string, unknown> = {};
    let decisions = 0;
    for (const { after, action, toStatus, actor } of await compliance.getTimeline(id)) {
      if (action === 'moved' && (toStatus === 'resolved' || toStatus === 'dismissed')) {
        expect(row['proposed_status']).toBe(toStatus);
        expect(row['proposed_by']).not.toBe(actor);
        decisions += 1;
      }
      row = { ...row, ...Object(after) };
    }
    return decisions;
  }
});
