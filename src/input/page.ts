import { z } from 'zod';
import type { ErrorCode } from '../errors.ts';
import { inputError } from './parseInput.ts';

/** Where in a list that is sorted by time, then id. */
export interface Position {
  /** The time with all the digits of the database: a Date has only milliseconds. */
  readonly at: string;
  readonly id: string;
}

/** Some rows of a list. Callers pass `nextCursor` back as it is; undefined: there are no more. */
export interface Page<Item> {
  readonly items: readonly Item[];
  readonly nextCursor: string | undefined;
}

/** Makes the page from its rows and one more, when there is one: whether there is a next page. */
export function pageOf<Row extends { readonly position: string; readonly id: string }, Item>(
  rows: readonly Row[],
  limit: number,
  decode: (row: Row) => Item,
): Page<Item> {
  const shown = rows.slice(0, limit);
  const last = shown.at(-1);
  const nextCursor =
    last !== undefined && rows.length > limit ? writeCursor({ at: last.position, id: last.id }) : undefined;
  return { items: shown.map(decode), nextCursor };
}

const cursorContent = z.tuple([z.iso.datetime({ offset: true }), z.guid()]);

function writeCursor({ at, id }: Position): string {
  return Buffer.from(JSON.stringify([at, id])).toString('base64url');
}

/** @throws MoonguardError `code` when it is no cursor of ours */
export function readCursor(cursor: string, code: ErrorCode): Position {
  try {
    const [at, id] = cursorContent.parse(JSON.parse(Buffer.from(cursor, 'base64url').toString()));
    return { at, id };
  } catch (cause) {
    const message = 'must be the nextCursor of an earlier page';
    throw inputError(code, [{ code: 'malformed', field: 'cursor', message }], cause);
  }
}
