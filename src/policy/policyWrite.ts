import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { inSavepoint } from '../database/savepoint.ts';
import type { ErrorCode } from '../errors.ts';
import { identifier } from '../input/fields.ts';
import { parseInput } from '../input/parseInput.ts';
import { SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { policyStepError } from './policyErrors.ts';

export interface PolicyStepOptions extends WriteOptions {
  /** Why; kept in the log. */
  readonly reason?: string | undefined;
}

/** Somebody answers for it: there is no default actor. */
export interface PersonalStepOptions extends WriteOptions {
  readonly actor: string;
}

const writerSchema = z.object({ actor: identifier.default(SYSTEM_ACTOR) });

/**
 * Writes as `options.actor`, all or nothing; a caller's transaction survives a refusal. What the database refuses in the
 * row comes as `invalid`.
 */
export async function writeStep<T>(
  database: Database,
  options: WriteOptions,
  invalid: ErrorCode,
  work: (transaction: Db) => Promise<T>,
): Promise<T> {
  const { actor } = parseInput(writerSchema, { actor: options.actor }, invalid);
  const { transaction: within } = options;
  try {
    return within === undefined
      ? await database.transaction((transaction) => asActor(transaction, actor, () => work(transaction)))
      : await inSavepoint(within, () => asActor(within, actor, () => work(within)));
  } catch (error) {
    throw policyStepError(error, invalid);
  }
}
