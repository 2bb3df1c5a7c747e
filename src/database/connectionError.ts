import { MoonguardError } from '../errors.ts';
import { databaseErrorReport } from './databaseError.ts';
import { isUnavailable } from './unavailable.ts';

/** What a user is told when the database cannot be reached, or does not let us in. Any other error stays as it is. */
export function connectionError(error: unknown): unknown {
  const cause = error instanceof MoonguardError && error.cause !== undefined ? error.cause : error;
  const { code = '' } = databaseErrorReport(cause);
  // 28: wrong user or password. 3D000: no database of this name.
  if (code.startsWith('28') || code === '3D000') {
    const problem = { code: 'connection_refused', field: 'DATABASE_URL', message: reasonOf(cause) };
    return new MoonguardError('configuration_invalid', `DATABASE_URL: ${problem.message}.`, {
      problems: [problem],
      cause,
    });
  }
  if (!isUnavailable(cause)) return error;
  return new MoonguardError('database_unavailable', `The database does not answer: ${reasonOf(cause)}.`, { cause });
}

/** A name with several addresses gives one error for each, and a message for none. */
function reasonOf(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reasonOf).join(', ');
  return databaseErrorReport(error).message;
}
