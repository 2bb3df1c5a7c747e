/**
 * Every error Moonguard raises on purpose. The code is stable: programs may branch on it. `status` is what the HTTP
 * shell answers, `action` what the caller should do; docs/errors.md is generated from this table.
 */
export const errorCatalogue = {
  // Receiving
  signature_missing: {
    status: 401,
    action: 'Send the Moonpay-Signature-V2 header that MoonPay puts on every webhook.',
  },
  signature_malformed: { status: 401, action: 'Send the header as t=<unix seconds>,s=<lowercase hex HMAC-SHA256>.' },
  signature_mismatch: {
    status: 401,
    action:
      'Sign `t.` followed by the raw body bytes with the webhook key (wk_…) of this environment; check that nothing between sender and receiver rewrites the body.',
  },
  timestamp_in_milliseconds: { status: 401, action: 'Send t in unix seconds, not in milliseconds.' },
  timestamp_outside_tolerance: {
    status: 401,
    action: 'Check the clocks of both machines; the tolerance is the setting MOONGUARD_SIGNATURE_TOLERANCE_SECONDS.',
  },
  environment_unknown: { status: 404, action: 'Use sandbox or production.' },
  body_too_large: { status: 413, action: 'Send at most the number of bytes that the message names.' },
  content_encoding_unsupported: { status: 415, action: 'Send the body uncompressed.' },
  receive_failed: { status: 503, action: 'Send the event again; the log of the server says what is wrong.' },
  provider_key_missing: {
    status: 503,
    action: 'Add the webhook key of this environment: moonguard keys add <sandbox|production>.',
  },
  provider_key_invalid: {
    status: 422,
    action: 'Copy the webhook key (wk_test_… for sandbox, wk_live_… for production) from the MoonPay dashboard.',
  },

  method_not_allowed: { status: 405, action: 'Use POST.' },
  route_not_found: { status: 404, action: 'See docs/events.md for the addresses there are.' },
  metrics_unauthorized: {
    status: 401,
    action: 'Send authorization: Bearer and the token of the setting MOONGUARD_METRICS_TOKEN.',
  },
  internal_error: { status: 500, action: 'Try again; the log of the server says what is wrong.' },

  // Webhook endpoints
  webhook_not_found: { status: 404, action: 'List the endpoints and use the id or webhook_id of one of them.' },
  webhook_duplicate: {
    status: 409,
    action: 'Update the endpoint that exists, or delete it first: one live endpoint per URL and environment.',
  },
  webhook_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  webhook_status_conflict: { status: 409, action: 'Read the endpoint again: its status does not allow this.' },
  endpoint_secret_missing: {
    status: 409,
    action: 'Rotate the secret of this endpoint to give it one: nothing is ever sent unsigned.',
  },
  delivery_not_found: { status: 404, action: 'List the deliveries and use the id of one of them.' },
  replay_not_found: { status: 404, action: 'List the replays and use the id of one of them.' },
  replay_finished: { status: 409, action: 'Begin another replay: this one has ended.' },

  // Compliance
  alert_not_found: { status: 404, action: 'List the alerts and use the id or alert_id of one of them.' },
  alert_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  alert_move_not_allowed: { status: 409, action: 'Use one of the moves that the message names.' },
  alert_resolution_incomplete: {
    status: 422,
    action: 'Give notes and the person who resolves or dismisses the alert.',
  },
  alert_version_stale: { status: 409, action: 'Read the alert again and repeat the change on what it says now.' },
  alert_actor_missing: { status: 422, action: 'Say who acts.' },
  alert_second_person_needed: {
    status: 409,
    action: 'Let one person propose the decision (moonguard alerts propose) and another one, an officer, decide.',
  },
  alert_duplicate: { status: 409, action: 'Work on the alert that the message names.' },
  alert_merged: { status: 409, action: 'Move the alert that the message names.' },
  alert_assignee_unknown: { status: 422, action: 'Name somebody of the people who work on alerts, or add the person.' },
  alert_settings_invalid: { status: 422, action: 'Correct the settings that the problems name.' },
  suppression_not_found: { status: 404, action: 'List the suppressions and use the id of one of them.' },
  suppression_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  queue_not_found: { status: 404, action: 'List the queues and use the name of one of them.' },
  queue_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  customer_not_found: { status: 404, action: "Use MoonPay's customer id or your own external customer id." },

  // Policies and their log
  policy_not_found: { status: 404, action: 'List the policies and use the policyId or id of one of them.' },
  policy_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  policy_duplicate: { status: 409, action: 'Update the policy that exists, or choose another policyId.' },
  policy_log_not_found: { status: 404, action: 'List the log and use the logId or id of one of its rows.' },
  policy_log_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  policy_log_duplicate: { status: 409, action: 'Leave log_id out, or use one that is not in the log yet.' },
  policy_log_append_only: { status: 409, action: 'Write a further row: rows of the policy log never change.' },
  policy_version_not_found: {
    status: 404,
    action: 'List the versions of the policy and use the number of one of them.',
  },
  policy_version_not_allowed: { status: 409, action: 'Use one of the moves that the message names.' },
  policy_second_person_needed: {
    status: 409,
    action: 'Let another person, an officer, do this step: the one who began it may not end it.',
  },
  policy_has_versions: { status: 409, action: 'Save a version of the policy and publish it.' },
  policy_list_not_found: { status: 404, action: 'List the lists and use the name of one of them.' },
  policy_list_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  policy_settings_invalid: { status: 422, action: 'Correct the settings that the problems name.' },
  policy_evaluation_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  approval_not_found: { status: 404, action: 'List the approvals and use the id of one of them.' },
  approval_not_allowed: { status: 409, action: 'Read the approval again: only one that is pending can be decided.' },
  exception_not_found: { status: 404, action: 'List the exceptions and use the id of one of them.' },
  exception_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  decision_not_found: { status: 404, action: 'Use the id of a decision, or of an event that was decided on.' },
  backtest_not_found: { status: 404, action: 'List the backtests and use the id of one of them.' },
  backtest_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  backtest_finished: { status: 409, action: 'Begin another backtest: this one has ended.' },

  // The audit log
  log_key_invalid: { status: 422, action: 'Copy the whole key: PRIVATE+KEY+… to sign with, <name>+<id>+… to verify.' },
  log_key_mismatch: {
    status: 500,
    action: 'Set MOONGUARD_LOG_KEY to the key that the log is signed with: it is the same on every machine.',
  },
  log_key_missing: {
    status: 409,
    action: 'Run it where the key of the log is: in MOONGUARD_LOG_KEY or the data directory.',
  },
  log_key_successor_missing: {
    status: 409,
    action:
      'Make a key of the same name (moonguard audit key --name …), set MOONGUARD_LOG_KEY to both, separated by a comma.',
  },
  audit_note_invalid: { status: 422, action: 'Take the file again from where it came: this is no signed checkpoint.' },
  audit_signature_missing: {
    status: 422,
    action: 'Verify with the key that signs this log: moonguard audit checkpoint.',
  },
  audit_signature_wrong: { status: 422, action: 'Do not trust it: somebody changed it after it was signed.' },
  audit_other_log: { status: 422, action: 'Compare with a checkpoint of the same log.' },
  audit_fork: {
    status: 409,
    action: 'Keep the earlier checkpoint: it shows that the log was written anew. Find out by whom.',
  },
  audit_version_unknown: {
    status: 422,
    action: 'Verify it with the version of Moonguard that made it, or a newer one.',
  },
  audit_entry_invalid: {
    status: 422,
    action: 'Take the file again from where it came; if it stays so, do not trust it.',
  },
  audit_proof_invalid: {
    status: 422,
    action: 'Take the file again from where it came; if it stays so, do not trust it.',
  },
  audit_export_invalid: { status: 422, action: 'Copy the whole folder again, or export it again.' },
  audit_tile_truncated: {
    status: 422,
    action: 'Copy the whole folder again; in a database, restore the tile from a backup.',
  },
  audit_tree_inconsistent: {
    status: 500,
    action: 'Find out who changed the tree: nothing is signed until it is as it was when it was last signed.',
  },
  audit_not_sequenced: {
    status: 409,
    action: 'Try again in a moment; a running server with the key of the log signs it.',
  },
  audit_delayed: {
    status: 504,
    action: 'Find out why nothing signs the log, with moonguard doctor. What was logged is safe, and will be signed.',
  },
  audit_checkpoint_missing: { status: 404, action: 'Start a server that has the key of the log, and log something.' },

  // Retention
  hold_not_found: { status: 404, action: 'List the legal holds and use the id of one of them.' },
  hold_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  hold_lifted: { status: 409, action: 'Place another hold: one that is lifted stays lifted.' },
  erasure_invalid: { status: 422, action: 'Correct the fields that the problems name.' },

  // Jobs
  job_not_found: { status: 404, action: 'Use the name of one of the jobs: moonguard jobs list.' },
  job_running: { status: 409, action: 'Wait until the process that moonguard jobs list names has done it.' },
  pg_cron_missing: {
    status: 409,
    action:
      'Create the extension in the database that its setting cron.database_name names (create extension pg_cron), or leave the jobs to servers and workers.',
  },

  // Archives
  archive_target_missing: {
    status: 422,
    action: 'Set MOONGUARD_ARCHIVE to a directory or s3://bucket/prefix, and for S3 the keys of AWS.',
  },
  archive_target_failed: { status: 503, action: 'Look after what the message says, and run it again: it goes on.' },
  archive_too_large: { status: 422, action: 'Archive this month to a directory, and copy its files in parts.' },
  archive_differs: {
    status: 500,
    action: 'Find out who changes the log while it is archived: moonguard audit verify names the rows.',
  },
  archive_not_found: { status: 404, action: 'List the archives and use the id of one of them.' },
  archive_not_encrypted: { status: 409, action: 'List the archives: only one that has a key can lose it.' },
  archive_key_missing: {
    status: 409,
    action: 'Search where the database with its key is; when the key was erased, nobody can read it.',
  },
  archive_search_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
  archive_version_unknown: {
    status: 422,
    action: 'Read it with the version of Moonguard that wrote it, or a newer one.',
  },
  archive_unreadable: {
    status: 422,
    action: 'Restore the file from another copy; moonguard archive verify says which files are as they were written.',
  },

  // Running
  configuration_invalid: { status: 500, action: 'Correct the settings that the problems name.' },
  master_key_missing: {
    status: 500,
    action: 'Set MOONGUARD_MASTER_KEY to 32 random bytes in base64: openssl rand -base64 32.',
  },
  master_key_mismatch: {
    status: 500,
    action: 'Set MOONGUARD_MASTER_KEY to the key that the database is used with: it is the same on every machine.',
  },
  secret_unreadable: {
    status: 500,
    action:
      'Rotate the secret, or remove the provider key and add it again: what is stored was changed by somebody else.',
  },
  database_unavailable: { status: 503, action: 'Try again; nothing was stored.' },
  database_locked: {
    status: 503,
    action:
      'Stop the other process, or use another directory. The embedded database serves one process at a time; on PostgreSQL (DATABASE_URL) the server and other commands work side by side.',
  },
  database_serves_one_process: {
    status: 500,
    action: 'Use one process, or set DATABASE_URL to a PostgreSQL, on which any number of processes share the work.',
  },
  schema_outdated: { status: 503, action: 'Run moonguard migrate.' },
  schema_newer: { status: 503, action: 'Update Moonguard: the database was migrated by a newer version.' },
  migration_failed: { status: 500, action: 'Read the reason; the database is as it was before this migration.' },
  address_unavailable: {
    status: 500,
    action: 'Stop the other program that listens there, or choose another address with --host and --port.',
  },
  server_unreachable: { status: 503, action: 'Start the server with moonguard start, or say where it is with --url.' },
  request_invalid: { status: 422, action: 'Correct the fields that the problems name.' },
} as const satisfies Record<string, { status: number; action: string }>;

export type ErrorCode = keyof typeof errorCatalogue;

/** One thing that is wrong with the input: where (dotted path of the field), and what. */
export interface Problem {
  readonly code: string;
  readonly field: string;
  readonly message: string;
}

export class MoonguardError extends Error {
  override readonly name = 'MoonguardError';
  readonly code: ErrorCode;
  readonly problems: readonly Problem[];

  constructor(code: ErrorCode, message: string, options: { problems?: readonly Problem[]; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.problems = options.problems ?? [];
  }

  /** Field of the first problem, when the error is about input. */
  get field(): string | undefined {
    return this.problems[0]?.field;
  }

  get status(): number {
    return errorCatalogue[this.code].status;
  }

  /** What the caller should do. */
  get action(): string {
    return errorCatalogue[this.code].action;
  }

  toJSON(): { code: ErrorCode; message: string; action: string; problems?: readonly Problem[] } {
    const base = { code: this.code, message: this.message, action: this.action };
    return this.problems.length === 0 ? base : { ...base, problems: this.problems };
  }
}
