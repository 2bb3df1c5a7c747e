import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { databaseErrorReport } from '../database/databaseError.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { MoonguardError } from '../errors.ts';
import { identifier, text } from '../input/fields.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import { refusedRow } from '../input/refusedRow.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import { insertSuppression } from './store/insertSuppression.ts';
import { listSuppressions } from './store/listSuppressions.ts';
import { updateSuppression } from './store/updateSuppression.ts';
import {
  decodeSuppression,
  type NewSuppressionInput,
  newSuppressionSchema,
  type Suppression,
  type SuppressionFilterInput,
  suppressionFilterSchema,
} from './suppression.ts';

/** Somebody answers for a suppression: there is no default actor. */
export interface SuppressionWriteOptions extends WriteOptions {
  readonly actor: string;
}

/**
 * Suppressions: one person requests that a known finding about a customer be dismissed as it comes, another one approves.
 * It ends when it expires, when somebody ends it, and when the customer's identity state, name, date of birth or address
 * is no more what it was at the approval.
 */
export class SuppressionService {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /** @throws MoonguardError suppression_invalid, alert_actor_missing */
  async request(input: NewSuppressionInput, options: SuppressionWriteOptions): Promise<Suppression> {
    const suppression = parseInput(newSuppressionSchema, input, 'suppression_invalid');
    return this.#write(options, (transaction, actor) => insertSuppression(transaction, suppression, actor));
  }

  /**
   * From now on it is in force. Only somebody else than who requested it can approve, and no program.
   * @throws MoonguardError suppression_not_found, suppression_invalid, alert_actor_missing
   */
  async approve(suppressionId: string, options: SuppressionWriteOptions): Promise<Suppression> {
    return this.#write(options, (transaction, actor) => change(transaction, suppressionId, { approved_by: actor }));
  }

  /** @throws MoonguardError suppression_not_found, suppression_invalid, alert_actor_missing */
  async end(suppressionId: string, reason: string, options: SuppressionWriteOptions): Promise<Suppression> {
    const words = parseInput(z.object({ reason: text }), { reason }, 'suppression_invalid');
    return this.#write(options, (transaction) => change(transaction, suppressionId, { ended_reason: words.reason }));
  }

  /** @throws MoonguardError suppression_not_found */
  async get(suppressionId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<Suppression> {
    return find(transaction, known(suppressionId));
  }

  /**
   * The newest first.
   * @throws MoonguardError suppression_invalid
   */
  async list(
    filter: SuppressionFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<Suppression>> {
    const { cursor, ...query } = parseInput(suppressionFilterSchema, filter, 'suppression_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'suppression_invalid');
    const rows = await listSuppressions(transaction, { ...query, limit: query.limit + 1, after });
    return pageOf(rows, query.limit, decodeSuppression);
  }

  /** `work` returns the id of the suppression that it wrote. */
  async #write(
    options: SuppressionWriteOptions,
    work: (transaction: Db, actor: string) => Promise<string>,
  ): Promise<Suppression> {
    const { actor } = parseInput(z.object({ actor: identifier }), { actor: options.actor }, 'alert_actor_missing');
    try {
      return await this.#database.transaction(
        (transaction) =>
          inSavepoint(transaction, () =>
            asActor(transaction, actor, async () => find(transaction, await work(transaction, actor))),
          ),
        options.transaction,
      );
    } catch (error) {
      throw writeError(error);
    }
  }
}

async function change(transaction: Db, id: string, changed: Parameters<typeof updateSuppression>[2]): Promise<string> {
  const suppressionId = known(id);
  return (await updateSuppression(transaction, suppressionId, changed)) ? suppressionId : notFound();
}

async function find(db: Db, id: string): Promise<Suppression> {
  const [row] = await listSuppressions(db, { id, limit: 1 });
  return row === undefined ? notFound() : decodeSuppression(row);
}

function known(id: string): string {
  return z.guid().safeParse(id).success ? id : notFound();
}

function notFound(): never {
  throw new MoonguardError('suppression_not_found', 'There is no suppression with this id.');
}

/** The error that stands for what the database refused; the error itself where it is about something else. */
function writeError(error: unknown): unknown {
  const { constraint, message } = databaseErrorReport(error);
  switch (constraint) {
    case 'alert_suppressions_second_person':
      return inputError('suppression_invalid', [{ code: 'not_allowed', field: 'approvedBy', message }], error);
    case 'alert_suppressions_ended':
    case 'alert_suppressions_content':
      return inputError('suppression_invalid', [{ code: 'not_allowed', field: '', message }], error);
    case undefined:
    default: {
      const problem = refusedRow(error, 'alert_suppressions');
      return problem === undefined ? error : inputError('suppression_invalid', [problem], error);
    }
  }
}
