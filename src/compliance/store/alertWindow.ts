import { type RawBuilder, sql } from 'kysely';
import type { AlertTrendWindow } from '../alertStatistics.ts';

/** The bounds of a window, where nobody gave one: the last 30 days. */
export function windowOf({ since, until }: AlertTrendWindow): Record<'since' | 'until', RawBuilder<Date>> {
  const end = until === undefined ? sql<Date>`now()` : sql<Date>`${until}::timestamptz`;
  return {
    since: since === undefined ? sql<Date>`(${end} - interval '30 days')` : sql<Date>`${since}::timestamptz`,
    until: end,
  };
}
