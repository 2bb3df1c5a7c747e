import { isDeepStrictEqual } from 'node:util';
import type { ComplianceService } from '../compliance/ComplianceService.ts';
import type { Database, Db } from '../database/database.ts';
import { identifier } from '../input/fields.ts';
import type { Page } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import { type Runtime, systemRuntime } from '../runtime.ts';
import { Backtests } from './Backtests.ts';
import { Batcher } from './Batcher.ts';
import {
  DecisionReplayer,
  type ReplayedDecision,
  type ReplayReport,
  type ReplayRequestInput,
} from './DecisionReplayer.ts';
import { decideAgain } from './decideAgain.ts';
import type { DecisionServices } from './decideSubjects.ts';
import { type Evaluated, type EvaluateInput, evaluateRequest } from './evaluateRequest.ts';
import type { Explanation } from './explain.ts';
import { type ExportFormat } from './exportLog.ts';
import { gatherInputs } from './gatherInputs.ts';
import { PolicyApprovals } from './PolicyApprovals.ts';
import { PolicyExceptions } from './PolicyExceptions.ts';
import { PolicyLists } from './PolicyLists.ts';
import { PolicyLogs } from './PolicyLogs.ts';
import { PolicySets } from './PolicySets.ts';
import { PolicySettings } from './PolicySettings.ts';
import { PolicyVersions } from './PolicyVersions.ts';
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
import { policyNotFound, policyWriteError } from './policyErrors.ts';
import type { ActionType, PolicyLogEntry } from './policyLog.ts';
import type { PolicyLogExportInput, PolicyLogFilterInput } from './policyLogFilter.ts';
import type { PolicyExecutionInput, PolicyViolationInput } from './policyLogInput.ts';
import { type PolicyStepOptions, writeStep } from './policyWrite.ts';
import { deletePolicy } from './store/deletePolicy.ts';
import { findPolicy, lockPolicy } from './store/findPolicy.ts';
import type { LoggedRow } from './store/insertLogRows.ts';
import { insertPolicy } from './store/insertPolicy.ts';
import { listPolicies, type PolicyFilter } from './store/listPolicies.ts';
import { updatePolicy } from './store/updatePolicy.ts';
import type { Change } from './structuralDiff.ts';

export interface PolicyServiceDependencies {
  readonly database: Database;
  /** Gets the violations. */
  readonly compliance: Pick<ComplianceService, 'createAlert'>;
  readonly runtime?: Pick<Runtime, 'newId'>;
}

/**
 * Policies and the append-only log of what they decided. Every change of a policy is in the log, in the same transaction,
 * with what the policy was and what it became.
 */
export class PolicyService {
  readonly versions: PolicyVersions;
  readonly lists: PolicyLists;
  readonly approvals: PolicyApprovals;
  readonly exceptions: PolicyExceptions;
  readonly settings: PolicySettings;
  readonly backtests: Backtests;
  /** What the decider of stored events works with. */
  readonly deciding: DecisionServices;
  readonly #database: Database;
  readonly #log: PolicyLogs;
  readonly #replayer: DecisionReplayer;

  constructor({ database, compliance, runtime = systemRuntime }: PolicyServiceDependencies) {
    this.#database = database;
    this.#log = new PolicyLogs({ database, compliance });
    this.#replayer = new DecisionReplayer({ database });
    this.versions = new PolicyVersions({ database });
    this.lists = new PolicyLists({ database });
    this.approvals = new PolicyApprovals({ database });
    this.exceptions = new PolicyExceptions({ database });
    this.settings = new PolicySettings({ database });
    this.deciding = {
      database,
      runtime,
      compliance,
      approvals: this.approvals,
      log: this.#log,
      sets: new PolicySets(),
      requests: new Batcher(database, gatherInputs),
    };
    this.backtests = new Backtests({ database, runtime, versions: this.versions, sets: this.deciding.sets });
  }

  /**
   * Logs what a policy did: one execution, or several in one statement, all or none. The result stands in their order.
   * @throws MoonguardError policy_log_invalid, policy_log_duplicate
   */
  logPolicyExecution(execution: PolicyExecutionInput, options?: WriteOptions): Promise<LoggedRow>;
  logPolicyExecution(executions: readonly PolicyExecutionInput[], options?: WriteOptions): Promise<LoggedRow[]>;
  logPolicyExecution(
    given: PolicyExecutionInput | readonly PolicyExecutionInput[],
    options: WriteOptions = {},
  ): Promise<LoggedRow | LoggedRow[]> {
    return isSeveral(given) ? this.#log.log(given, options) : this.#log.log(given, options);
  }

  /**
   * Logs that a policy was violated: violation_detected with status failure, severity error, impact medium, and action
   * required, unless given otherwise. Raises an alert with it, as severe as the impact.
   * @throws MoonguardError policy_log_invalid, policy_log_duplicate
   */
  logViolation(violation: PolicyViolationInput, options: WriteOptions = {}): Promise<LoggedRow> {
    return this.#log.logViolation(violation, options);
  }

  /**
   * A row of the log by its logId or id.
   * @throws MoonguardError policy_log_not_found
   */
  getLog(logId: string, options: ReadOptions = {}): Promise<PolicyLogEntry> {
    return this.#log.get(logId, options);
  }

  /**
   * The newest first.
   * @throws MoonguardError policy_log_invalid
   */
  listLogs(filter: PolicyLogFilterInput = {}, options: ReadOptions = {}): Promise<Page<PolicyLogEntry>> {
    return this.#log.list(filter, options);
  }

  /**
   * Like `listLogs`, only rows in whose reason or notes a word begins with each of these; upper and lower case are the same.
   * @throws MoonguardError policy_log_invalid
   */
  searchLogs(
    searched: string,
    filter: PolicyLogFilterInput = {},
    options: ReadOptions = {},
  ): Promise<Page<PolicyLogEntry>> {
    return this.#log.search(searched, filter, options);
  }

  /**
   * The rows of the log that fit, the newest first, as lines of CSV or NDJSON with every digit: for files, however many there are.
   * @throws MoonguardError policy_log_invalid
   */
  exportLogs(filter: PolicyLogExportInput, format: ExportFormat, options: ReadOptions = {}): AsyncGenerator<string> {
    return this.#log.export(filter, format, options);
  }

  /**
   * Where the state after a logged change differs from that before.
   * @throws MoonguardError policy_log_not_found
   */
  logChanges(logId: string, options: ReadOptions = {}): Promise<Change[]> {
    return this.#log.changes(logId, options);
  }

  /**
   * Asks the policies before something is done, such as a payout. What it returns is in the policy log; alerts and
   * approvals are written with it.
   * @throws MoonguardError policy_evaluation_invalid
   */
  evaluate(input: EvaluateInput, options: WriteOptions = {}): Promise<Evaluated> {
    return evaluateRequest(this.deciding, input, options);
  }

  /**
   * Has an event whose decision failed decided as if it had just come, also one that was set aside.
   * @throws MoonguardError decision_not_found when it is decided, or there is no such event
   */
  decideAgain(eventId: string, options: WriteOptions = {}): Promise<void> {
    return decideAgain(this.deciding, eventId, options);
  }

  /**
   * Why a decision came out as it did, as data and in sentences.
   * @param name the decision's id, that of the event that was decided on, or a correlation id: the newest decision with it
   * @throws MoonguardError decision_not_found
   */
  explain(name: string, options: ReadOptions = {}): Promise<Explanation> {
    return this.#log.explain(name, options);
  }

  /**
   * Makes a decision again from what is recorded with it, and compares. Writes nothing.
   * @param name as for `explain`
   * @throws MoonguardError decision_not_found
   */
  replay(name: string, options: ReadOptions = {}): Promise<ReplayedDecision> {
    return this.#replayer.replay(name, options);
  }

  /**
   * The same with every decision of a period, the oldest first.
   * @throws MoonguardError policy_log_invalid
   */
  replayAll(request: ReplayRequestInput = {}, options: ReadOptions = {}): Promise<ReplayReport> {
    return this.#replayer.replayAll(request, options);
  }

  /** @throws MoonguardError policy_invalid, policy_duplicate */
  async createPolicy(input: NewPolicyInput, options: PolicyStepOptions = {}): Promise<Policy> {
    const policy = parseInput(newPolicySchema, input, 'policy_invalid');
    return this.#write(options, async (transaction) => {
      const created = decodePolicy(await insertPolicy(transaction, policy));
      await this.#logChange('policy_created', created, { afterState: created }, { ...options, transaction });
      return created;
    });
  }

  /** What changes nothing is not in the log. @throws MoonguardError policy_not_found, policy_invalid */
  async updatePolicy(policyId: string, change: PolicyChangeInput, options: PolicyStepOptions = {}): Promise<Policy> {
    const changed = parseInput(policyChangeSchema, change, 'policy_invalid');
    return this.#change(policyId, options, 'policy_updated', (transaction, policy) =>
      isDeepStrictEqual({ ...policy, ...changed }, policy) ? undefined : updatePolicy(transaction, policy.id, changed),
    );
  }

  /** Changes nothing when it is active already. @throws MoonguardError policy_not_found */
  async activatePolicy(policyId: string, options: PolicyStepOptions = {}): Promise<Policy> {
    return this.#change(policyId, options, 'policy_activated', (transaction, { id, isActive }) =>
      isActive ? undefined : updatePolicy(transaction, id, { isActive: true }),
    );
  }

  /** Changes nothing when it is not active. @throws MoonguardError policy_not_found */
  async deactivatePolicy(policyId: string, options: PolicyStepOptions = {}): Promise<Policy> {
    return this.#change(policyId, options, 'policy_deactivated', (transaction, { id, isActive }) =>
      isActive ? updatePolicy(transaction, id, { isActive: false }) : undefined,
    );
  }

  /** Its history stays in the log. @throws MoonguardError policy_not_found */
  async deletePolicy(policyId: string, options: PolicyStepOptions = {}): Promise<void> {
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
    options: PolicyStepOptions,
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
    options: PolicyStepOptions,
  ): Promise<void> {
    const policy = { policyId, policyName: name, policyType: policyTypeOfKind[type] };
    await this.logPolicyExecution(
      { ...policy, actionType, ...states, reason: options.reason, autoGenerated: false },
      options,
    );
  }

  async #write<T>(options: WriteOptions, work: (transaction: Db) => Promise<T>): Promise<T> {
    try {
      return await writeStep(this.#database, options, 'policy_invalid', work);
    } catch (error) {
      throw policyWriteError(error);
    }
  }
}

const isSeveral = (given: PolicyExecutionInput | readonly PolicyExecutionInput[]) => Array.isArray(given);

const isIdentifier = (given: string): boolean => identifier.safeParse(given).success;

async function lock(transaction: Db, policyId: string): Promise<Policy> {
  return known(isIdentifier(policyId) ? await lockPolicy(transaction, policyId) : undefined);
}

function known(row: PolicyRow | undefined): Policy {
  if (row === undefined) throw policyNotFound();
  return decodePolicy(row);
}
