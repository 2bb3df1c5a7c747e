import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import {
  decodePolicyList,
  listValuesSchema,
  type NewPolicyListInput,
  newPolicyListSchema,
  type PolicyList,
  type PolicyListValue,
  type ValuePageInput,
  valuePageSchema,
} from './policyList.ts';
import { writeStep } from './policyWrite.ts';
import { addListValues } from './store/addListValues.ts';
import { deletePolicyList } from './store/deletePolicyList.ts';
import { insertPolicyList } from './store/insertPolicyList.ts';
import { listPolicyLists, type PolicyListRow } from './store/listPolicyLists.ts';
import { pageOfListValues } from './store/pageOfListValues.ts';
import { removeListValues } from './store/removeListValues.ts';

/** Lists of values that policies look up. A change counts from the next decision on, and is in the policy log. */
export class PolicyLists {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /** @throws MoonguardError policy_list_invalid */
  async create(input: NewPolicyListInput, options: WriteOptions = {}): Promise<PolicyList> {
    const list = parseInput(newPolicyListSchema, input, 'policy_list_invalid');
    return this.#write(options, async (transaction) => {
      const created = await insertPolicyList(transaction, list);
      if (created !== undefined) return decodePolicyList(created);
      const problem = { code: 'duplicate', field: 'name', message: 'there is a list of this name already' };
      throw inputError('policy_list_invalid', [problem]);
    });
  }

  /**
   * Puts values on a list, at most 100,000 at a time; what is on it already stays as it is.
   * @returns how many are new
   * @throws MoonguardError policy_list_not_found, policy_list_invalid
   */
  async add(
    name: string,
    values: readonly string[],
    { note, ...options }: WriteOptions & { readonly note?: string | undefined } = {},
  ): Promise<number> {
    const given = parseInput(listValuesSchema, { values, note }, 'policy_list_invalid');
    return this.#write(options, async (transaction) => {
      const { case_sensitive } = await find(transaction, name);
      return addListValues(transaction, name, folded(given.values, case_sensitive), given.note);
    });
  }

  /**
   * Takes values off a list.
   * @returns how many were on it
   * @throws MoonguardError policy_list_not_found, policy_list_invalid
   */
  async remove(name: string, values: readonly string[], options: WriteOptions = {}): Promise<number> {
    const given = parseInput(listValuesSchema, { values }, 'policy_list_invalid');
    return this.#write(options, async (transaction) => {
      const { case_sensitive } = await find(transaction, name);
      return removeListValues(transaction, name, folded(given.values, case_sensitive));
    });
  }

  /** By name. */
  async list({ transaction = this.#database.db }: ReadOptions = {}): Promise<PolicyList[]> {
    return (await listPolicyLists(transaction)).map(decodePolicyList);
  }

  /**
   * What is on a list, in the order of its bytes; for the next ones pass the last value as `after`.
   * @throws MoonguardError policy_list_not_found, policy_list_invalid
   */
  async values(
    name: string,
    page: ValuePageInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<PolicyListValue[]> {
    const wanted = parseInput(valuePageSchema, page, 'policy_list_invalid');
    await find(transaction, name);
    const rows = await pageOfListValues(transaction, name, wanted);
    return rows.map(({ value, note, added_by, added_at }) => ({ value, note, addedBy: added_by, addedAt: added_at }));
  }

  /**
   * Deletes a list with its values; not while a policy that is evaluated uses it.
   * @throws MoonguardError policy_list_not_found, policy_list_invalid
   */
  async delete(name: string, options: WriteOptions = {}): Promise<void> {
    await this.#write(options, async (transaction) => {
      await find(transaction, name);
      await deletePolicyList(transaction, name);
    });
  }

  #write<T>(options: WriteOptions, work: (transaction: Db) => Promise<T>): Promise<T> {
    return writeStep(this.#database, options, 'policy_list_invalid', work);
  }
}

const folded = (values: readonly string[], isCaseSensitive: boolean): string[] => [
  ...new Set(isCaseSensitive ? values : values.map((value) => value.toLowerCase())),
];

async function find(db: Db, wanted: string): Promise<PolicyListRow> {
  const list = (await listPolicyLists(db)).find(({ name }) => name === wanted);
  if (list === undefined) throw new MoonguardError('policy_list_not_found', 'There is no list of this name.');
  return list;
}
