import { z } from 'zod';
import type { Database, Db } from '../database/database.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions } from '../input/writeOptions.ts';
import { canonicalJson } from './canonicalJson.ts';
import type { CompiledPolicy } from './compilePolicy.ts';
import { type DecisionSummary, summarize } from './decisionRows.ts';
import { evaluatePolicies } from './evaluatePolicies.ts';
import type { DecisionInputs } from './inputs.ts';
import { recordedLookup } from './listLookup.ts';
import { compileVersion } from './PolicySets.ts';
import { getDecision, type RecordedDecision } from './recordedDecision.ts';
import { findPolicyVersion } from './store/findPolicyVersion.ts';
import { type ListedDecision, listDecisions } from './store/listDecisions.ts';

/** Decisions read at a time. */
const PAGE = 500;

const replayRequestSchema = z.strictObject({
  /** Decided at this time or later. */
  from: z.date().optional(),
  /** Decided before this time. */
  to: z.date().optional(),
  /** The oldest so many; default 10000. */
  limit: z.int().min(1).max(10_000_000).default(10_000),
});
export type ReplayRequestInput = z.input<typeof replayRequestSchema>;

/** A decision made again from what it was made from. */
export interface ReplayedDecision {
  readonly decisionId: string;
  /** Every result of every rule is the same, and so are the values of those that hit. */
  readonly isEqual: boolean;
  readonly recorded: DecisionSummary;
  readonly replayed: DecisionSummary;
}

export interface ReplayReport {
  readonly replayed: number;
  readonly equal: number;
  readonly different: readonly ReplayedDecision[];
}

/** Evaluates decisions of the log again, by the versions and the inputs that are recorded with them. Writes nothing. */
export class DecisionReplayer {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /**
   * @param name as for {@link getDecision}
   * @throws MoonguardError decision_not_found
   */
  async replay(name: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<ReplayedDecision> {
    return replayed(await getDecision(transaction, name), new RecordedVersions(transaction));
  }

  /** @throws MoonguardError policy_log_invalid */
  async replayAll(
    request: ReplayRequestInput = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<ReplayReport> {
    const { limit, ...period } = parseInput(replayRequestSchema, request, 'policy_log_invalid');
    const versions = new RecordedVersions(transaction);
    const different: ReplayedDecision[] = [];
    let count = 0;
    let after: ListedDecision | undefined;
    do {
      const decisions = await listDecisions(transaction, period, { after, limit: Math.min(PAGE, limit - count) });
      for (const decision of decisions) {
        const outcome = await replayed(decision, versions);
        if (!outcome.isEqual) different.push(outcome);
      }
      count += decisions.length;
      after = decisions.at(-1);
    } while (after !== undefined && count < limit);
    return { replayed: count, equal: count - different.length, different };
  }
}

async function replayed(
  { id, inputs, summary }: RecordedDecision,
  versions: RecordedVersions,
): Promise<ReplayedDecision> {
  const policies = await versions.of(inputs);
  const again = summarize(evaluatePolicies(policies, inputs, recordedLookup(inputs.lists)));
  return {
    decisionId: id,
    isEqual: canonicalJson(again) === canonicalJson(summary),
    recorded: summary,
    replayed: again,
  };
}

/** Versions as they are compiled for evaluation, each read once. */
class RecordedVersions {
  readonly #db: Db;
  readonly #compiled = new Map<string, CompiledPolicy | undefined>();

  constructor(db: Db) {
    this.#db = db;
  }

  /** Those that applied to a decision. */
  async of({ policies }: DecisionInputs): Promise<CompiledPolicy[]> {
    const versions: CompiledPolicy[] = [];
    for (const used of policies) {
      const key = used.join(' ');
      if (!this.#compiled.has(key)) this.#compiled.set(key, await this.#compile(used));
      const compiled = this.#compiled.get(key);
      if (compiled !== undefined) versions.push(compiled);
    }
    return versions;
  }

  async #compile([policy, number, mode]: DecisionInputs['policies'][number]): Promise<CompiledPolicy | undefined> {
    const version = await findPolicyVersion(this.#db, policy, number);
    return version && compileVersion({ ...version, status: mode });
  }
}
