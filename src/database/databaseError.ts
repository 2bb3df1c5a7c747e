/** What PostgreSQL says about a failed statement; `pg` and PGlite give it alike. */
export interface DatabaseErrorReport {
  readonly message: string;
  /** SQLSTATE, five characters. */
  readonly code: string | undefined;
  readonly detail: string | undefined;
  /** The constraint that was broken. */
  readonly constraint: string | undefined;
  /** The column of a broken NOT NULL. */
  readonly column: string | undefined;
  readonly hint: string | undefined;
  readonly where: string | undefined;
  /** The statement that a function or a DO block was running, when it is not the one that was sent. */
  readonly internalQuery: string | undefined;
  /** Character of `internalQuery` at which the error is, from 1. */
  readonly internalPosition: number | undefined;
}

/** Reads the report out of an error that a driver threw. */
export function databaseErrorReport(error: unknown): DatabaseErrorReport {
  const text = (name: string): string | undefined => {
    const value: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
    return typeof value === 'string' ? value : undefined;
  };
  const position = text('internalPosition');
  return {
    message: text('message') ?? String(error),
    code: text('code'),
    detail: text('detail'),
    constraint: text('constraint'),
    column: text('column'),
    hint: text('hint'),
    where: text('where'),
    internalQuery: text('internalQuery'),
    internalPosition: position === undefined ? undefined : Number(position),
  };
}
