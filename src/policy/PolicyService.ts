import { isDeepStrictEqual } from 'node:util';
import { z } from 'zod';
import type { ComplianceService } from '../compliance/ComplianceService.ts';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier, text } from '../input/fields.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import {
  decodePolicy,
  type NewPolicyInput,
  newPolicySchema,
  type Policy,
  type PolicyChangeInput,
  type PolicyRow,
  policyChangeSchema,
  policyTypeOfKind,
} from './policy.ts';
import { policyLogWriteError, policyNotFound, policyWriteError } from './policyErrors.ts';
import { type ActionType, decodePolicyLogEntry, type PolicyLogEntry } from './policyLog.ts';
import {
  type PolicyExecution,
  type PolicyExecutionInput,
  type PolicyLogFilterInput,
  type PolicyViolationInput,
  policyExecutionSchema,
  policyLogFilterSchema,
  policyViolationSchema,
} from './policyLogInput.ts';
import { deletePolicy } from './store/deletePolicy.ts';
import { findLogRow } from './store/findLogRow.ts';
import { findPolicy, lockPolicy } from './store/findPolicy.ts';
import { insertLogRows, type LoggedRow } from './store/insertLogRows.ts';
import { insertPolicy } from './store/insertPolicy.ts';
import { listLogRows } from './store/listLogRows.ts';
import { listPolicies, type PolicyFilter } from './store/listPolicies.ts';
import { updatePolicy } from './store/updatePolicy.ts';
import { violationAlert } from './violationAlert.ts';

export interface PolicyWriteOptions extends WriteOptions {
  /** Why the policy is changed; kept in the log. */
  readonly reason?: string | undefined;
}

export interface PolicyServiceDependencies {
  readonly database: Database;
  /** Gets the violations. */
  readonly compliance: Pick<ComplianceService, 'createAlert'>;
}

/**
 * Policies and the append-only log of what they decided. Every change of a policy is in the log, in the same transaction,
 * with what the policy was and what it became.
 */
export class PolicyService {
  readonly #database: Database;
  readonly #compliance: PolicyServiceDependencies['compliance'];

  constructor({ database, compliance }: PolicyServiceDependencies) {
    this.#database = database;
    this.#compliance = compliance;
  }

  /**
   * Logs what a policy did: one execution, or several in one statement, all or none. The result stands in their order.
   * @throws MoonguardError policy_log_invalid, policy_log_duplicate
   */
  logPolicyExecution(execution: PolicyExecutionInput, options?: WriteOptions): Promise<LoggedRow>;
  logPolicyExecution(executions: readonly PolicyExecutionInput[], options?: WriteOptions): Promise<LoggedRow[]>;
  async logPolicyExecution(
    given: PolicyExecutionInput | readonly PolicyExecutionInput[],
    options: WriteOptions = {},
  ): Promise<LoggedRow | LoggedRow[]> {
    if (Array.isArray(given)) {
      return this.#log(parseInput(z.array(policyExecutionSchema), given, 'policy_log_invalid'), options);
    }
    return this.#logOne(parseInput(policyExecutionSchema, given, 'policy_log_invalid'), options);
  }

  /**
   * Logs that a policy was violated: violation_detected with status failure, severity error, impact medium, and action
   * required, unless given otherwise. Raises an alert with it, as severe as the impact.
   * @throws MoonguardError policy_log_invalid, policy_log_duplicate
   */
  async logViolation(given: PolicyViolationInput, options: WriteOptions = {}): Promise<LoggedRow> {
    const { alert, ...violation } = parseInput(policyViolationSchema, given, 'policy_log_invalid');
    if (!alert) return this.#logOne(violation, options);
    return this.#database.transaction(async (transaction) => {
      const logged = await this.#logOne(violation, { ...options, transaction });
      await this.#compliance.createAlert(violationAlert(violation, logged), { ...options, transaction });
      return logged;
    }, options.transaction);
  }

  /**
   * A row of the log by its logId or id.
   * @throws MoonguardError policy_log_not_found
   */
  async getLog(logId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<PolicyLogEntry> {
    const row = isIdentifier(logId) ? await findLogRow(transaction, logId) : undefined;
    if (row === undefined) {
      throw new MoonguardError('policy_log_not_found', 'There is no row with this id in the policy log.');
    }
    return decodePolicyLogEntry(row);
  }

  /**
   * The newest first.
   * @throws MoonguardError policy_log_invalid
   */
  async listLogs(filter: PolicyLogFilterInput = {}, options: ReadOptions = {}): Promise<Page<PolicyLogEntry>> {
    return this.#list(filter, options);
  }

  /**
   * Like `listLogs`, only rows with this text in policy name, reason or notes; upper and lower case are the same.
   * @throws MoonguardError policy_log_invalid
   */
  async searchLogs(
    searched: string,
    filter: PolicyLogFilterInput = {},
    options: ReadOptions = {},
  ): Promise<Page<PolicyLogEntry>> {
    return this.#list(filter, options, parseInput(z.object({ text }), { text: searched }, 'policy_log_invalid').text);
  }

  /** @throws MoonguardError policy_invalid, policy_duplicate */
  async createPolicy(input: NewPolicyInput, options: PolicyWriteOptions = {}): Promise<Policy> {
    const policy = parseInput(newPolicySchema, input, 'policy_invalid');
    return this.#write(options, async (transaction) => {
      const created = decodePolicy(await insertPolicy(transaction, policy));
      await this.#logChange('policy_created', created, { afterState: created }, { ...options, transaction });
      return created;
    });
  }

  /** What changes nothing is not in the log. @throws MoonguardError policy_not_found, policy_invalid */
  async updatePolicy(policyId: string, change: PolicyChangeInput, options: PolicyWriteOptions = {}): Promise<Policy> {
    const changed = parseInput(policyChangeSchema, change, 'policy_invalid');
    return this.#change(policyId, options, 'policy_updated', (transaction, policy) =>
      isDeepStrictEqual({ ...policy, ...changed }, policy) ? undefined : updatePolicy(transaction, policy.id, changed),
    );
  }

  /** Changes nothing when it is active already. @throws MoonguardError policy_not_found */
  async activatePolicy(policyId: string, options: PolicyWriteOptions = {}): Promise<Policy> {
    return this.#change(policyId, options, 'policy_activated', (transaction, { id, isActive }) =>
      isActive ? undefined : updatePolicy(transaction, id, { isActive: true }),
    );
  }

  /** Changes nothing when it is not active. @throws MoonguardError policy_not_found */
  async deactivatePolicy(policyId: string, options: PolicyWriteOptions = {}): Promise<Policy> {
    return this.#change(policyId, options, 'policy_deactivated', (transaction, { id, isActive }) =>
      isActive ? updatePolicy(transaction, id, { isActive: false }) : undefined,
    );
  }

  /** Its history stays in the log. @throws MoonguardError policy_not_found */
  async deletePolicy(policyId: string, options: PolicyWriteOptions = {}): Promise<void> {
    await this.#write(options, async (transaction) => {
      const policy = await lock(transaction, policyId);
      await deletePolicy(transaction, policy.id);
      await this.#logChange('policy_deleted', policy, { beforeState: policy }, { ...options, transaction });
    });
  }

  /** By its policyId or id. @throws MoonguardError policy_not_found */
  async getPolicy(policyId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<Policy> {
    return known(isIdentifier(policyId) ? await findPolicy(transaction, policyId) : undefined);
  }

  /** By name. */
  async listPolicies(
    filter: PolicyFilter = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Policy[]> {
    return (await listPolicies(transaction, filter)).map(decodePolicy);
  }

  async #change(
    policyId: string,
    options: PolicyWriteOptions,
    action: ActionType,
    change: (transaction: Db, policy: Policy) => Promise<PolicyRow> | undefined,
  ): Promise<Policy> {
    return this.#write(options, async (transaction) => {
      const before = await lock(transaction, policyId);
      const changed = await change(transaction, before);
      if (changed === undefined) return before;
      const after = decodePolicy(changed);
      await this.#logChange(action, after, { beforeState: before, afterState: after }, { ...options, transaction });
      return after;
    });
  }

  async #logChange(
    actionType: ActionType,
    { policyId, name, type }: Policy,
    states: Pick<PolicyExecutionInput, 'beforeState' | 'afterState'>,
    options: PolicyWriteOptions,
  ): Promise<void> {
    const policy = { policyId, policyName: name, policyType: policyTypeOfKind[type] };
    await this.logPolicyExecution(
      { ...policy, actionType, ...states, reason: options.reason, autoGenerated: false },
      options,
    );
  }

  async #logOne(execution: PolicyExecution, options: WriteOptions): Promise<LoggedRow> {
    const [logged] = await this.#log([execution], options);
    if (logged === undefined) throw new Error('the insert of one row returned none');
    return logged;
  }

  async #log(executions: readonly PolicyExecution[], options: WriteOptions): Promise<LoggedRow[]> {
    const { actor } = parseInput(writerSchema, { actor: options.actor }, 'policy_log_invalid');
    if (executions.length === 0) return [];
    try {
      return await insertLogRows(options.transaction ?? this.#database.db, executions, actor);
    } catch (error) {
      throw policyLogWriteError(error);
    }
  }

  async #list(
    input: PolicyLogFilterInput,
    { transaction = this.#database.db }: ReadOptions,
    searched?: string,
  ): Promise<Page<PolicyLogEntry>> {
    const { cursor, ...filter } = parseInput(policyLogFilterSchema, input, 'policy_log_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'policy_log_invalid');
    const rows = await listLogRows(transaction, { ...filter, limit: filter.limit + 1, text: searched, after });
    return pageOf(rows, filter.limit, decodePolicyLogEntry);
  }

  async #write<T>(options: WriteOptions, work: (transaction: Db) => Promise<T>): Promise<T> {
    try {
      return await this.#database.transaction(work, options.transaction);
    } catch (error) {
      throw policyWriteError(error);
    }
  }
}

const writerSchema = z.object({ actor: identifier.default(SYSTEM_ACTOR) });

const isIdentifier = (given: string): boolean => identifier.safeParse(given).success;

async function lock(transaction: Db, policyId: string): Promise<Policy> {
  return known(isIdentifier(policyId) ? await lockPolicy(transaction, policyId) : undefined);
}

function known(row: PolicyRow | undefined): Policy {
  if (row === undefined) throw policyNotFound();
  return decodePolicy(row);
}
