import { z } from 'zod';
import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier } from '../input/fields.ts';
import type { Page } from '../input/page.ts';
import { parseInput } from '../input/parseInput.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import type { Runtime } from '../runtime.ts';
import {
  type Backtest,
  type BacktestPage,
  type BacktestRequest,
  backtestPageSchema,
  backtestRequestSchema,
} from './backtest.ts';
import { emptyReport } from './backtestReport.ts';
import type { PolicyVersions } from './PolicyVersions.ts';
import { type BacktestDependencies, type BacktestStep, runBacktestBatch } from './runBacktestBatch.ts';
import { beginBacktest } from './store/beginBacktest.ts';
import { endBacktest } from './store/endBacktest.ts';
import { findBacktest } from './store/findBacktest.ts';
import { listBacktests } from './store/listBacktests.ts';

export interface BacktestsDependencies extends BacktestDependencies {
  readonly runtime: Pick<Runtime, 'newId'>;
  readonly versions: Pick<PolicyVersions, 'get' | 'list'>;
}

/** What versions of policies would have said on the events of the past: jobs that running servers carry out. */
export class Backtests {
  readonly #dependencies: BacktestsDependencies;

  constructor(dependencies: BacktestsDependencies) {
    this.#dependencies = dependencies;
  }

  /**
   * Begins a backtest over the events that are stored at this moment.
   * @throws MoonguardError policy_version_not_found, backtest_invalid
   */
  async begin(request: BacktestRequest, options: WriteOptions = {}): Promise<Backtest> {
    const { policyId, version, comparedVersion, ...period } = parseInput(
      backtestRequestSchema,
      request,
      'backtest_invalid',
    );
    const actor = actorOf(options);
    const { database, runtime } = this.#dependencies;
    return database.transaction(async (transaction) => {
      const id = runtime.newId();
      const chosen = await this.#chooseVersions(transaction, policyId, version, comparedVersion);
      await beginBacktest(transaction, { ...period, ...chosen, id, policyId, report: emptyReport }, actor);
      return this.get(id, { transaction });
    }, options.transaction);
  }

  /** How far a backtest is, and what came of it so far. @throws MoonguardError backtest_not_found */
  async get(backtestId: string, { transaction = this.#dependencies.database.db }: ReadOptions = {}): Promise<Backtest> {
    const backtest = isId(backtestId) ? await findBacktest(transaction, backtestId) : undefined;
    if (backtest === undefined) throw unknownBacktest();
    return backtest;
  }

  /** The newest first. @throws MoonguardError backtest_invalid */
  async list(
    page: BacktestPage = {},
    { transaction = this.#dependencies.database.db }: ReadOptions = {},
  ): Promise<Page<Backtest>> {
    const { limit, ...wanted } = parseInput(backtestPageSchema, page, 'backtest_invalid');
    const found = await listBacktests(transaction, { ...wanted, limit: limit + 1 });
    const items = found.slice(0, limit);
    return { items, nextCursor: found.length > limit ? items.at(-1)?.id : undefined };
  }

  /** Ends a backtest; its report stays as it is. @throws MoonguardError backtest_not_found, backtest_finished */
  async cancel(backtestId: string, options: WriteOptions = {}): Promise<Backtest> {
    const cancelledBy = actorOf(options);
    return this.#dependencies.database.transaction(async (transaction) => {
      const status = isId(backtestId) ? await endBacktest(transaction, backtestId, { cancelledBy }) : undefined;
      if (status === undefined) throw unknownBacktest();
      if (status !== 'running') throw new MoonguardError('backtest_finished', `The backtest is ${status}.`);
      return this.get(backtestId, { transaction });
    }, options.transaction);
  }

  /** Does the next part of a backtest in this process, for whoever waits for it where no server runs. Undefined: others are at it, or it has ended. */
  advance(backtestId: string): Promise<BacktestStep | undefined> {
    return runBacktestBatch(this.#dependencies, backtestId);
  }

  async #chooseVersions(
    transaction: Db,
    policyId: string,
    version: number | undefined,
    comparedVersion: number | null | undefined,
  ): Promise<{ version: number; comparedVersion: number | null }> {
    const { versions } = this.#dependencies;
    const known = await versions.list(policyId, { transaction });
    const candidate = await versions.get(policyId, version ?? known[0]?.version, { transaction });
    if (typeof comparedVersion === 'number') await versions.get(policyId, comparedVersion, { transaction });
    const active = known.find(({ status, version: other }) => status === 'active' && other !== candidate.version);
    return {
      version: candidate.version,
      comparedVersion: comparedVersion === undefined ? (active?.version ?? null) : comparedVersion,
    };
  }
}

const isId = (given: string): boolean => z.guid().safeParse(given).success;

const actorOf = ({ actor }: WriteOptions): string =>
  parseInput(z.object({ actor: identifier.default(SYSTEM_ACTOR) }), { actor }, 'backtest_invalid').actor;

const unknownBacktest = (): MoonguardError =>
  new MoonguardError('backtest_not_found', 'There is no backtest with this id.');
