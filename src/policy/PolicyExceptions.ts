import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions } from '../input/writeOptions.ts';
import {
  decodeException,
  type ExceptionFilterInput,
  exceptionFilterSchema,
  type NewExceptionInput,
  newExceptionSchema,
  type PolicyException,
} from './exception.ts';
import { type PersonalStepOptions, writeStep } from './policyWrite.ts';
import { endException } from './store/endException.ts';
import { insertException } from './store/insertException.ts';
import { listExceptions } from './store/listExceptions.ts';

/** Exceptions: for this customer or entity a policy has no effect until a date. Granting and ending are in the policy log. */
export class PolicyExceptions {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /** @throws MoonguardError exception_invalid */
  async grant(input: NewExceptionInput, options: PersonalStepOptions): Promise<PolicyException> {
    const exception = parseInput(newExceptionSchema, input, 'exception_invalid');
    return decodeException(
      await writeStep(this.#database, options, 'exception_invalid', (transaction) =>
        insertException(transaction, exception),
      ),
    );
  }

  /**
   * Ends an exception before its time.
   * @throws MoonguardError exception_not_found, exception_invalid
   */
  async end(exceptionId: string, options: PersonalStepOptions): Promise<PolicyException> {
    const row = z.guid().safeParse(exceptionId).success
      ? await writeStep(this.#database, options, 'exception_invalid', (transaction) =>
          endException(transaction, exceptionId),
        )
      : undefined;
    if (row === undefined) throw new MoonguardError('exception_not_found', 'There is no exception with this id.');
    return decodeException(row);
  }

  /**
   * The newest first.
   * @throws MoonguardError exception_invalid
   */
  async list(
    filter: ExceptionFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<PolicyException>> {
    const { cursor, ...query } = parseInput(exceptionFilterSchema, filter, 'exception_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'exception_invalid');
    const rows = await listExceptions(transaction, { ...query, limit: query.limit + 1, after });
    return pageOf(rows, query.limit, decodeException);
  }
}
