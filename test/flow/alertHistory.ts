import { sql } from 'kysely';
import { expect } from 'vitest';
import type { Db } from '../../src/database/database.ts';
import { isMove } from './alertModel.ts';

interface Entry {
  readonly version: number;
  readonly at: string;
  readonly actor: string;
  readonly action: string;
  readonly from: Parameters<typeof isMove>[0] | null;
  readonly to: Parameters<typeof isMove>[1] | null;
  readonly after: Record<string, unknown>;
}

/**
 * What holds of every history: each move is one of the table, from where the one before led; versions rise one by one and
 * times never fall; persons and times are there where they belong; and all entries together make the row.
 */
export async function expectCompleteHistory(db: Db, alertRowId: string): Promise<void> {
  const { rows: entries } = await sql<Entry>`
    select alert_version as version, to_jsonb(at) #>> '{}' as at, actor, action, from_status as "from", to_status as "to", after
    from moonguard.alert_timeline where alert_id = ${alertRowId} order by entry_number
  `.execute(db);
  const { rows } = await sql<{ row: Record<string, unknown> }>`
    select to_jsonb(a) as row from moonpay_compliance_alerts a where id = ${alertRowId}
  `.execute(db);
  const row = rows[0]?.row ?? {};

  const rebuilt: Record<string, unknown> = {};
  let version = 0;
  let at = '';
  for (const [index, entry] of entries.entries()) {
    if (index === 0) expect(entry).toMatchObject({ version: 1, action: 'created', from: null });
    if (entry.action === 'moved') {
      expect(entry.from, 'from').toBe(rebuilt['status']);
      expect(isMove(entry.from ?? 'open', entry.to ?? 'open'), `${entry.from} to ${entry.to}`).toBe(true);
    }
    // A comment is about the version that there is, what the schedule notes makes none.
    expect([version, version + 1]).toContain(entry.version);
    expect(Date.parse(entry.at)).toBeGreaterThanOrEqual(at === '' ? 0 : Date.parse(at));
    Object.assign(rebuilt, entry.after);
    ({ version, at } = entry);
  }
  expect(version).toBe(row['version']);
  for (const noise of ['version', 'updated_at']) delete rebuilt[noise];
  const { version: _, updated_at: updatedAt, ...content } = row;
  expect(rebuilt).toEqual(content);

  const isDecided = row['status'] === 'resolved' || row['status'] === 'dismissed';
  for (const column of ['resolved_by', 'resolved_at', 'resolution_notes']) expect(row[column] !== null).toBe(isDecided);
  const times = [row['created_at'], row['first_reviewed_at'], row['resolved_at'], updatedAt]
    .filter((time) => typeof time === 'string')
    .map((time) => Date.parse(time));
  expect(times).toEqual(times.toSorted((a, b) => a - b));
}
