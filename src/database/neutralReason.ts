import { databaseErrorReport } from './databaseError.ts';

/** The SQLSTATE of an error, or else its class: its message, or the statement in it, can tell that there is an alert. */
export function neutralReason(error: unknown): string {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const { code } = databaseErrorReport(cause);
  return code ?? (cause instanceof Error ? cause.name : 'unknown error');
}
