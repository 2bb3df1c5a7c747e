import { randomBytes } from 'node:crypto';
import { ArchiveService } from '../../src/archive/ArchiveService.ts';
import type { ArchiveSettings } from '../../src/archive/settings.ts';
import type { ArchiveVerification } from '../../src/archive/verifyArchive.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createSecretBox } from '../../src/secrets/secretBox.ts';
import { folder, Log } from './auditLog.ts';
import type { TestDatabase } from './testDatabase.ts';

const secretBox = createSecretBox(randomBytes(32));

/** A signed log with rows of past months, and a directory for its archives. */
export class ArchivedLog {
  readonly log: Log;
  readonly directory: string;
  readonly archives: ArchiveService;

  private constructor(log: Log, settings: ArchiveSettings, directory: string) {
    this.log = log;
    this.directory = directory;
    this.archives = new ArchiveService({
      database: log.database,
      runtime: systemRuntime,
      secretBox,
      audit: log.audit,
      settings,
    });
  }

  static async open(database: TestDatabase, settings: ArchiveSettings = {}): Promise<ArchivedLog> {
    const directory = folder();
    return new ArchivedLog(await Log.open(database), { target: directory, ...settings }, directory);
  }

  /** The same log and directory for another process. */
  again(settings: ArchiveSettings = {}): ArchivedLog {
    return new ArchivedLog(this.log, { target: this.directory, ...settings }, this.directory);
  }

  /** Rows `from` to `to`, an hour after each other from the beginning of a month on, signed. */
  async add(month: string, from: number, to: number, retentionClass = 'standard'): Promise<void> {
    await this.log.run(`insert into moonpay_policy_logs
      (log_id, policy_id, action_type, customer_id, correlation_id, rule_results, reason, retention_class, executed_at)
      select 'row_' || n, 'kyc_policy_001', 'rule_triggered', 'customer_' || n % 7, 'correlation_' || n,
        jsonb_build_object('score', 0.12345678901234567890, 'n', n), 'because ' || n, '${retentionClass}',
        '${month}-01T00:00:00.000001Z'::timestamptz + (n - ${from}) * interval '1 hour'
      from generate_series(${from}, ${to}) as n`);
    await this.log.sequence();
  }

  async verify(...verifierKeys: readonly string[]): Promise<ArchiveVerification[]> {
    const verified: ArchiveVerification[] = [];
    for await (const each of this.archives.verify(verifierKeys.length === 0 ? {} : { verifierKeys }))
      verified.push(each);
    return verified;
  }
}
