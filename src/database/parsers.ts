import { type CustomTypesConfig, types } from 'pg';

/**
 * How a column's text becomes a value, by type oid. The same map serves `pg` and PGlite, whose own defaults differ: rows
 * have one shape on both. Types that are not here already read the same on both.
 */
export const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  17: (bytea) => Buffer.from(bytea.slice(2), 'hex'),
  // Counters and sequences: they stay below 2^53. Amounts are numeric.
  20: (int8) => Number(int8),
  1082: (date) => date,
  1114: (timestamp) => timestamp,
  1184: parseTimestamptz,
  1186: (interval) => interval,
  1700: (numeric) => numeric,
};

/** Array types of the above, for `pg`; PGlite derives them by itself. */
const elementOf: Readonly<Record<number, number>> = {
  1001: 17,
  1016: 20,
  1115: 1114,
  1182: 1082,
  1185: 1184,
  1187: 1186,
  1231: 1700,
};

const parserOfPg: (oid: number, format?: 'text' | 'binary') => (text: string) => unknown = types.getTypeParser;
const arrayParserOfPg: (oid: number) => (text: string) => (string | null)[] = types.getTypeParser;
const TEXT_ARRAY = 1009;

/** The same map in the form that `pg` takes, for a pool, a client or one query. */
export const pgTypes: CustomTypesConfig = {
  getTypeParser(oid: number, format?: 'text' | 'binary') {
    const scalar = parsers[oid];
    if (scalar !== undefined) return scalar;
    const element = parsers[elementOf[oid] ?? 0];
    if (element === undefined) return parserOfPg(oid, format);
    const split = arrayParserOfPg(TEXT_ARRAY);
    return (text: string) => split(text).map((item) => (item === null ? null : element(item)));
  },
};

/** PostgreSQL writes `2026-11-23 05:47:00.123456+00`; ISO 8601 wants a T, and minutes in the offset. */
function parseTimestamptz(text: string): Date {
  return new Date(text.replace(' ', 'T').replace(/([+-]\d\d)$/, '$1:00'));
}
