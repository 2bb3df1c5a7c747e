import type { Db } from '../database/database.ts';
import { type Page, type Position, pageOf, readCursor } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type Alert, decodeAlert } from './alert.ts';
import {
  type AlertFilterInput,
  alertFilterSchema,
  type CountFilterInput,
  conditionsOf,
  countFilterSchema,
  type SearchFilterInput,
  searchFilterSchema,
  searchSchema,
} from './alertFilter.ts';
import { countAlerts } from './store/countAlerts.ts';
import { listAlerts } from './store/listAlerts.ts';
import { searchAlerts } from './store/searchAlerts.ts';

/** Nobody reads on in a list of more. */
const COUNTED_AT_MOST = 10_000;

export interface AlertCount {
  readonly count: number;
  /** Whether there are no more: beyond 10,000 nothing is counted. */
  readonly isExact: boolean;
}

/** @throws MoonguardError alert_invalid */
export async function listAlertPage(db: Db, input: AlertFilterInput): Promise<Page<Alert>> {
  const { sort, limit, cursor, ...filter } = parseInput(alertFilterSchema, input, 'alert_invalid');
  const rows = await listAlerts(db, {
    conditions: conditionsOf(filter, sort),
    order: sort,
    after: positionOf(cursor),
    limit: limit + 1,
  });
  return pageOf(rows, limit, decodeAlert);
}

/** @throws MoonguardError alert_invalid */
export async function searchAlertPage(db: Db, searched: string, input: SearchFilterInput): Promise<Page<Alert>> {
  const { text } = parseInput(searchSchema, { text: searched }, 'alert_invalid');
  const { limit, cursor, ...filter } = parseInput(searchFilterSchema, input, 'alert_invalid');
  const rows = await searchAlerts(db, {
    words: text,
    conditions: conditionsOf(filter),
    after: positionOf(cursor),
    limit: limit + 1,
  });
  return pageOf(rows, limit, decodeAlert);
}

/** @throws MoonguardError alert_invalid */
export async function countMatchingAlerts(db: Db, input: CountFilterInput): Promise<AlertCount> {
  const conditions = conditionsOf(parseInput(countFilterSchema, input, 'alert_invalid'));
  const count = await countAlerts(db, conditions, COUNTED_AT_MOST + 1);
  return { count: Math.min(count, COUNTED_AT_MOST), isExact: count <= COUNTED_AT_MOST };
}

function positionOf(cursor: string | undefined): Position | undefined {
  return cursor === undefined ? undefined : readCursor(cursor, 'alert_invalid');
}
