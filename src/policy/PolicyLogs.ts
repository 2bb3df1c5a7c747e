import { z } from 'zod';
import type { ComplianceService } from '../compliance/ComplianceService.ts';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier } from '../input/fields.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { Batcher } from './Batcher.ts';
import type { DecidedSubject } from './decision.ts';
import { type DecisionRow, decisionRows } from './decisionRows.ts';
import { type Explanation, explain } from './explain.ts';
import { type ExportFormat, exportLog } from './exportLog.ts';
import { policyLogWriteError } from './policyErrors.ts';
import { decodePolicyLogEntry, type PolicyLogEntry } from './policyLog.ts';
import {
  conditionsOf,
  type PolicyLogExportInput,
  type PolicyLogFilterInput,
  policyLogFilterSchema,
  policyLogSearchSchema,
} from './policyLogFilter.ts';
import {
  type PolicyExecution,
  type PolicyExecutionInput,
  type PolicyViolationInput,
  policyExecutionSchema,
  policyExecutionsSchema,
  policyViolationSchema,
} from './policyLogInput.ts';
import { getDecision } from './recordedDecision.ts';
import { findLogRow } from './store/findLogRow.ts';
import { insertDecisionRows } from './store/insertDecisionRows.ts';
import { insertLogRows, type LoggedRow, type NewLogRow } from './store/insertLogRows.ts';
import { listLogRows } from './store/listLogRows.ts';
import { listRuleRows } from './store/listRuleRows.ts';
import { type Change, structuralDiff } from './structuralDiff.ts';
import { violationAlert } from './violationAlert.ts';

export interface PolicyLogsDependencies {
  readonly database: Database;
  /** Gets the violations. */
  readonly compliance: Pick<ComplianceService, 'createAlert'>;
}

/** The append-only log of what policies, and people by policies, decided. */
export class PolicyLogs {
  readonly #database: Database;
  readonly #compliance: PolicyLogsDependencies['compliance'];
  readonly #rows: Batcher<NewLogRow, LoggedRow>;
  readonly #decisions: Batcher<DecisionRow, never>;

  constructor({ database, compliance }: PolicyLogsDependencies) {
    this.#database = database;
    this.#compliance = compliance;
    this.#rows = new Batcher(database, insertLogRows);
    this.#decisions = new Batcher(database, insertDecisionRows);
  }

  /**
   * Logs what a policy did: one execution, or several in one statement, all or none. The result stands in their order.
   * @throws MoonguardError policy_log_invalid, policy_log_duplicate
   */
  log(execution: PolicyExecutionInput, options?: WriteOptions): Promise<LoggedRow>;
  log(executions: readonly PolicyExecutionInput[], options?: WriteOptions): Promise<LoggedRow[]>;
  /** For callers that pass on what they were given. */
  log(
    given: PolicyExecutionInput | readonly PolicyExecutionInput[],
    options?: WriteOptions,
  ): Promise<LoggedRow | LoggedRow[]>;
  async log(
    given: PolicyExecutionInput | readonly PolicyExecutionInput[],
    options: WriteOptions = {},
  ): Promise<LoggedRow | LoggedRow[]> {
    if (Array.isArray(given)) {
      return this.#log(parseInput(policyExecutionsSchema, given, 'policy_log_invalid'), options);
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
   * Logs decisions, all or none of them, in one statement. Without a transaction they share a commit with what others log
   * at that moment.
   */
  async writeDecisions(transaction: Db | undefined, decided: readonly DecidedSubject[]): Promise<void> {
    const rows = decided.flatMap(decisionRows);
    if (rows.length === 0) return;
    await (transaction === undefined ? this.#decisions.run(rows) : insertDecisionRows(transaction, rows));
  }

  /**
   * A row of the log by its logId or id.
   * @throws MoonguardError policy_log_not_found
   */
  async get(logId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<PolicyLogEntry> {
    const row = identifier.safeParse(logId).success ? await findLogRow(transaction, logId) : undefined;
    if (row === undefined) {
      throw new MoonguardError('policy_log_not_found', 'There is no row with this id in the policy log.');
    }
    return decodePolicyLogEntry(row);
  }

  /**
   * The newest first.
   * @throws MoonguardError policy_log_invalid
   */
  async list(filter: PolicyLogFilterInput = {}, options: ReadOptions = {}): Promise<Page<PolicyLogEntry>> {
    return this.#list(filter, options);
  }

  /**
   * Like `list`, only rows in whose reason or notes a word begins with each of these; upper and lower case are the same.
   * @throws MoonguardError policy_log_invalid
   */
  async search(
    searched: string,
    filter: PolicyLogFilterInput = {},
    options: ReadOptions = {},
  ): Promise<Page<PolicyLogEntry>> {
    return this.#list(
      filter,
      options,
      parseInput(policyLogSearchSchema, { text: searched }, 'policy_log_invalid').text,
    );
  }

  /**
   * Rows as lines of text, the newest first, as many as there are: a page of them is in memory at a time.
   * @throws MoonguardError policy_log_invalid
   */
  export(
    filter: PolicyLogExportInput,
    format: ExportFormat,
    { transaction = this.#database.db }: ReadOptions = {},
  ): AsyncGenerator<string> {
    return exportLog(transaction, filter, format);
  }

  /**
   * Where the state after a logged change differs from that before; none where the row knows of no states.
   * @throws MoonguardError policy_log_not_found
   */
  async changes(logId: string, options: ReadOptions = {}): Promise<Change[]> {
    const { beforeState, afterState } = await this.get(logId, options);
    return structuralDiff(beforeState ?? {}, afterState ?? {});
  }

  /**
   * Why a decision came out as it did.
   * @param name as for {@link getDecision}
   * @throws MoonguardError decision_not_found
   */
  async explain(name: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<Explanation> {
    const decision = await getDecision(transaction, name);
    const rules = await listRuleRows(transaction, decision);
    return explain(decision.summary, rules.map(decodePolicyLogEntry));
  }

  async #logOne(execution: PolicyExecution, options: WriteOptions): Promise<LoggedRow> {
    const [logged] = await this.#log([execution], options);
    if (logged === undefined) throw new Error('the insert of one row returned none');
    return logged;
  }

  async #log(executions: readonly PolicyExecution[], { actor, transaction }: WriteOptions): Promise<LoggedRow[]> {
    const { actor: executedBy } = parseInput(writerSchema, { actor }, 'policy_log_invalid');
    if (executions.length === 0) return [];
    const rows = executions.map((execution) => ({ ...execution, executedBy }));
    return this.#write(rows, transaction);
  }

  async #write(rows: readonly NewLogRow[], transaction: Db | undefined): Promise<LoggedRow[]> {
    try {
      return await (transaction === undefined ? this.#rows.run(rows) : insertLogRows(transaction, rows));
    } catch (error) {
      throw policyLogWriteError(error);
    }
  }

  async #list(
    input: PolicyLogFilterInput,
    { transaction = this.#database.db }: ReadOptions,
    searched?: string,
  ): Promise<Page<PolicyLogEntry>> {
    const { cursor, limit, ...filter } = parseInput(policyLogFilterSchema, input, 'policy_log_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'policy_log_invalid');
    const rows = await listLogRows(transaction, {
      conditions: conditionsOf(filter),
      limit: limit + 1,
      text: searched,
      after,
    });
    return pageOf(rows, limit, decodePolicyLogEntry);
  }
}

const writerSchema = z.object({ actor: identifier.default(SYSTEM_ACTOR) });
