import { databaseErrorReport } from '../database/databaseError.ts';
import type { Problem } from '../errors.ts';

const NOT_NULL_VIOLATION = '23502';
const CHECK_VIOLATION = '23514';

/**
 * The problem with a row that a CHECK or NOT NULL of the table refused, field by field in camelCase; undefined for every
 * other error. Our checks are named `<table>_<column>_check`; a check that somebody added is named as the field.
 */
export function refusedRow(error: unknown, table: string): Problem | undefined {
  const { code, constraint, column, message } = databaseErrorReport(error);
  if (code === NOT_NULL_VIOLATION && column !== undefined) {
    return { code: 'required', field: camelCase(column), message: 'must be given' };
  }
  if (code !== CHECK_VIOLATION || constraint === undefined) return undefined;
  const ours = constraint.startsWith(`${table}_`) && constraint.endsWith('_check');
  const field = ours ? constraint.slice(table.length + 1, -'_check'.length) : constraint;
  return { code: 'not_allowed', field: camelCase(field), message };
}

function camelCase(name: string): string {
  return name.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
