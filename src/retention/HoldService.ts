import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { text } from '../input/fields.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import {
  decodeHold,
  type HoldFilterInput,
  holdFilterSchema,
  type LegalHold,
  type NewHoldInput,
  newHoldSchema,
} from './hold.ts';
import { insertHold } from './store/insertHold.ts';
import { liftHold } from './store/liftHold.ts';
import { listHolds } from './store/listHolds.ts';

/**
 * Legal holds: what one covers is neither removed nor erased, whatever its age, until somebody lifts it. Setting and
 * lifting are rows of the policy log.
 */
export class HoldService {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /** @throws MoonguardError hold_invalid */
  async place(input: NewHoldInput, options: WriteOptions = {}): Promise<LegalHold> {
    const hold = parseInput(newHoldSchema, input, 'hold_invalid');
    return this.#write(options, async (transaction) => find(transaction, await insertHold(transaction, hold)));
  }

  /** @throws MoonguardError hold_not_found, hold_invalid; hold_lifted when somebody did already */
  async lift(holdId: string, reason: string, options: WriteOptions = {}): Promise<LegalHold> {
    const words = parseInput(z.object({ reason: text }), { reason }, 'hold_invalid');
    return this.#write(options, async (transaction) => {
      const { id } = await find(transaction, holdId);
      if (!(await liftHold(transaction, id, words.reason))) {
        throw new MoonguardError('hold_lifted', 'The hold is lifted already.');
      }
      return find(transaction, id);
    });
  }

  /** @throws MoonguardError hold_not_found */
  async get(holdId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<LegalHold> {
    return find(transaction, holdId);
  }

  /** The newest first. @throws MoonguardError hold_invalid */
  async list(
    filter: HoldFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<LegalHold>> {
    const { cursor, ...query } = parseInput(holdFilterSchema, filter, 'hold_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'hold_invalid');
    const rows = await listHolds(transaction, { ...query, limit: query.limit + 1, after });
    return pageOf(rows, query.limit, decodeHold);
  }

  #write(
    { transaction: within, actor = SYSTEM_ACTOR }: WriteOptions,
    work: (transaction: Db) => Promise<LegalHold>,
  ): Promise<LegalHold> {
    return this.#database.transaction((transaction) => asActor(transaction, actor, () => work(transaction)), within);
  }
}

async function find(db: Db, id: string): Promise<LegalHold> {
  const [row] = z.guid().safeParse(id).success ? await listHolds(db, { id, limit: 1 }) : [];
  if (row === undefined) throw new MoonguardError('hold_not_found', 'There is no legal hold with this id.');
  return decodeHold(row);
}
