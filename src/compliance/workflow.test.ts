import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { alertStatuses } from './alert.ts';
import { type AlertMove, alertMoves, movesFrom, refusalOfMove } from './workflow.ts';

describe('the workflow', () => {
  test.each([
    ['open', ['dismissed', 'escalated', 'in_review', 'resolved']],
    ['in_review', ['dismissed', 'escalated', 'open', 'resolved']],
    ['escalated', ['dismissed', 'in_review', 'resolved']],
    ['resolved', ['open']],
    ['dismissed', ['open']],
  ] as const)('from %s an alert may become %j', (from, to) => expect(movesFrom(from)).toEqual(to));

  test('a refusal names the moves that are allowed', () => {
    expect(refusalOfMove('resolved', 'escalated', undefined)).toMatchObject({
      code: 'alert_move_not_allowed',
      message: 'An alert that is resolved cannot become escalated. Allowed from resolved: open.',
    });
  });

  test('an alert does not move to the status it has', () => {
    for (const status of alertStatuses) {
      expect(refusalOfMove(status, status, 'words')?.code).toBe('alert_move_not_allowed');
    }
  });

  test('a decision needs notes, reopening a reason, other moves nothing', () => {
    expect(refusalOfMove('open', 'resolved', undefined)?.code).toBe('alert_resolution_incomplete');
    expect(refusalOfMove('open', 'resolved', 'settled')).toBeUndefined();
    expect(refusalOfMove('dismissed', 'open', undefined)).toMatchObject({ code: 'alert_invalid', field: 'reason' });
    expect(refusalOfMove('dismissed', 'open', 'new evidence')).toBeUndefined();
    expect(refusalOfMove('open', 'escalated', undefined)).toBeUndefined();
  });
});

const inOrder = (moves: readonly AlertMove[]): AlertMove[] =>
  moves.toSorted((a, b) => `${a.from} ${a.to}`.localeCompare(`${b.from} ${b.to}`));

forEachDatabase('the workflow in the database', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  test('is the same table', async () => {
    const { rows } = await sql<AlertMove>`
      select from_status as "from", to_status as "to", needs from moonguard.alert_moves
    `.execute(database.db);
    expect(inOrder(rows)).toEqual(inOrder(alertMoves));
  });
});
