import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { onTestFinished } from 'vitest';
import { AuditService } from '../../src/audit/AuditService.ts';
import { newLogKey, openLogKey } from '../../src/audit/logKey.ts';
import { type SequencedBatch, sequenceBatch } from '../../src/audit/sequenceBatch.ts';
import { parseSigner, type Signer } from '../../src/audit/signedNote.ts';
import type { TreeEdge } from '../../src/audit/treeEdge.ts';
import { systemRuntime } from '../../src/runtime.ts';
import type { TestDatabase } from './testDatabase.ts';

export const logKey = newLogKey('example.com/policy-log');

/** An empty one, which goes with the test. */
export function folder(): string {
  const directory = mkdtempSync(join(tmpdir(), 'moonguard-audit-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  return directory;
}

/** A database with a log that is signed when the test says so. */
export class Log {
  readonly database: TestDatabase;
  readonly audit: AuditService;
  readonly leader = systemRuntime.newId();
  #edge: TreeEdge | undefined;

  private constructor(database: TestDatabase) {
    this.database = database;
    this.audit = new AuditService({ database });
  }

  static async open(database: TestDatabase): Promise<Log> {
    onTestFinished(() => database.close());
    return new Log(database);
  }

  async run(text: string): Promise<Record<string, unknown>[]> {
    return (await sql.raw<Record<string, unknown>>(text).execute(this.database.db)).rows;
  }

  /** As a superuser who switches off what stands in the way. */
  async tamper(text: string): Promise<void> {
    await this.database.transaction(async (transaction) => {
      await sql`set local session_replication_role = replica`.execute(transaction);
      await sql.raw(text).execute(transaction);
    });
  }

  async add(from: number, to: number): Promise<void> {
    await this.run(`insert into moonpay_policy_logs (log_id, policy_id, action_type, customer_id, rule_results, reason)
      select 'row_' || n, 'kyc_policy_001', 'rule_triggered', 'customer_' || n, jsonb_build_object('score', 0.12345678901234567890, 'n', n), 'because ' || n
      from generate_series(${from}, ${to}) as n`);
  }

  async signer(): Promise<Signer> {
    const source = { logKey, dataDirectory: undefined, mayMake: false, newName: () => '' };
    return (await openLogKey(this.database.db, source, () => {})) ?? parseSigner(logKey);
  }

  async sequence(): Promise<SequencedBatch> {
    const signer = await this.signer();
    const { database, leader } = this;
    const batch = await sequenceBatch({ database, signer, leader, leaseMs: 10_000 }, this.#edge);
    if (batch.outcome === 'sequenced') this.#edge = batch.edge;
    return batch;
  }

  static async signed(database: TestDatabase, rows: number): Promise<Log> {
    const log = await Log.open(database);
    await log.add(0, rows - 1);
    await log.sequence();
    return log;
  }
}
