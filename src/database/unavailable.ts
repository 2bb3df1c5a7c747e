import { databaseErrorReport } from './databaseError.ts';

/** Errors of the network, by the code that Node.js gives. */
const networkCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const sqlStates = new Set([
  '25006', // read_only_sql_transaction: connected to a standby after a switch-over
  '25P03', // idle_in_transaction_session_timeout
  '25P04', // transaction_timeout
  '40001', // serialization_failure
  '40P01', // deadlock_detected
  '55P03', // lock_not_available: lock_timeout
  '57014', // query_canceled: statement_timeout
  '57P01', // admin_shutdown, also pg_terminate_backend
  '57P02', // crash_shutdown
  '57P03', // cannot_connect_now: starting or recovering
  '57P05', // idle_session_timeout
]);

/** 08: connection exceptions. 53: too many connections, disk full, out of memory. */
const sqlStateClasses = new Set(['08', '53']);

/** What `pg`, Kysely and PGlite say without a code. */
const messages =
  /^(Connection terminated|timeout exceeded when trying to connect|Client has encountered a connection error|Client was closed|Cannot use a pool after calling end|driver has already been destroyed|Postgres connection has been discarded|PGlite (is|instance is already) clos)/;

/**
 * Whether the database could not be asked or gave up for lack of time or room: nothing is wrong with the request, and the
 * same request may succeed later. Callers answer `database_unavailable`.
 */
export function isUnavailable(error: unknown): boolean {
  const { code, message } = databaseErrorReport(error);
  if (code !== undefined && (networkCodes.has(code) || sqlStates.has(code) || sqlStateClasses.has(code.slice(0, 2)))) {
    return true;
  }
  if (messages.test(message)) return true;
  if (error instanceof AggregateError) return error.errors.some(isUnavailable);
  return error instanceof Error && error.cause !== undefined && isUnavailable(error.cause);
}
