import { z } from 'zod';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { type Page, pageOf, readCursor } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions } from '../input/writeOptions.ts';
import {
  type ApprovalFilterInput,
  approvalDecisionSchema,
  approvalFilterSchema,
  decodeApproval,
  type NewApproval,
  type PolicyApproval,
} from './approval.ts';
import { type PersonalStepOptions, writeStep } from './policyWrite.ts';
import { decideApproval } from './store/decideApproval.ts';
import { listApprovals } from './store/listApprovals.ts';
import { requestApprovals } from './store/requestApprovals.ts';

export interface GrantOptions extends PersonalStepOptions {
  /** Until when the rule has no further effect on the entity; default: the hours of the settings, from now on. */
  readonly validUntil?: Date | undefined;
}

/** What policies want approved. Somebody else than who asked grants or denies it before it expires. */
export class PolicyApprovals {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /**
   * Asks for approvals, in one statement. While one is pending for a rule and an entity, no other is asked for.
   * @returns the pending ones, in the order of what is asked for
   */
  async request(transaction: Db, asked: readonly NewApproval[]): Promise<PolicyApproval[]> {
    return asked.length === 0 ? [] : (await requestApprovals(transaction, asked)).map(decodeApproval);
  }

  /**
   * From now on hits of the rule on this entity have no effect.
   * @throws MoonguardError approval_not_found, approval_not_allowed, policy_second_person_needed
   */
  async grant(approvalId: string, reason: string, options: GrantOptions): Promise<PolicyApproval> {
    return this.#decide(approvalId, 'granted', { reason, validUntil: options.validUntil }, options);
  }

  /** @throws MoonguardError approval_not_found, approval_not_allowed, policy_second_person_needed */
  async deny(approvalId: string, reason: string, options: PersonalStepOptions): Promise<PolicyApproval> {
    return this.#decide(approvalId, 'denied', { reason }, options);
  }

  /** @throws MoonguardError approval_not_found */
  async get(approvalId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<PolicyApproval> {
    const [row] = await listApprovals(transaction, { id: known(approvalId), limit: 1 });
    return row === undefined ? notFound() : decodeApproval(row);
  }

  /**
   * The newest first.
   * @throws MoonguardError request_invalid
   */
  async list(
    filter: ApprovalFilterInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<Page<PolicyApproval>> {
    const { cursor, ...query } = parseInput(approvalFilterSchema, filter, 'request_invalid');
    const after = cursor === undefined ? undefined : readCursor(cursor, 'request_invalid');
    const rows = await listApprovals(transaction, { ...query, limit: query.limit + 1, after });
    return pageOf(rows, query.limit, decodeApproval);
  }

  async #decide(
    approvalId: string,
    status: 'granted' | 'denied',
    given: z.input<typeof approvalDecisionSchema>,
    options: PersonalStepOptions,
  ): Promise<PolicyApproval> {
    const decision = parseInput(approvalDecisionSchema, given, 'request_invalid');
    const row = await writeStep(this.#database, options, 'request_invalid', (transaction) =>
      decideApproval(transaction, known(approvalId), { status, ...decision }),
    );
    return row === undefined ? notFound() : decodeApproval(row);
  }
}

function known(id: string): string {
  return z.guid().safeParse(id).success ? id : notFound();
}

function notFound(): never {
  throw new MoonguardError('approval_not_found', 'There is no approval with this id.');
}
