/** Which columns of a table stand where in the entry of a row. */
interface EntryColumns {
  /** In the entry itself: nothing personal, and nothing of what an alert is about. */
  readonly envelope: readonly string[];
  /** What is salted, and shown or erased, together. The order is that of the stored salts. */
  readonly groups: Readonly<Record<string, readonly string[]>>;
}

/** What is logged. Columns that a user added are not covered: one with a default, added later, would make old rows look changed. */
const columnsOf = {
  policy_log: {
    envelope: ['action_type', 'executed_at', 'log_id', 'policy_id'],
    groups: {
      actor: ['triggered_by', 'executed_by', 'approved_by', 'session_id', 'ip_address', 'user_agent'],
      subject: ['entity_type', 'entity_id', 'customer_id', 'transaction_id'],
      inputs: ['inputs'],
      before: ['before_state'],
      after: ['after_state'],
      rules: ['rule_conditions', 'rule_results'],
      violation: ['violation_details'],
      words: ['reason', 'notes', 'action_taken', 'metadata'],
      rest: [
        'id',
        'policy_name',
        'policy_type',
        'policy_version',
        'decision_id',
        'execution_status',
        'severity',
        'compliance_impact',
        'requires_action',
        'follow_up_required',
        'follow_up_date',
        'retention_period_days',
        'retention_class',
        'retain_until',
        'auto_generated',
        'source',
        'correlation_id',
        'created_at',
        'updated_at',
      ],
    },
  },
  alert_timeline: {
    envelope: ['at', 'id'],
    groups: {
      actor: ['actor'],
      alert: ['alert_id', 'alert_version', 'entry_number'],
      step: ['action', 'from_status', 'to_status'],
      words: ['reason', 'mentions', 'attachment'],
      before: ['before'],
      after: ['after'],
    },
  },
  endpoint_change: {
    envelope: ['at', 'id'],
    groups: {
      actor: ['actor'],
      endpoint: ['endpoint_id', 'entry_number', 'action'],
      before: ['before'],
      after: ['after'],
    },
  },
} as const satisfies Record<string, EntryColumns>;

export type EntryKind = keyof typeof columnsOf;
export const entryKinds = ['policy_log', 'alert_timeline', 'endpoint_change'] as const satisfies EntryKind[];

export const SALT_BYTES = 16;

export function coveredColumns(kind: EntryKind): readonly string[] {
  const { envelope, groups }: EntryColumns = columnsOf[kind];
  return [...envelope, ...Object.values(groups).flat()];
}

/** The same, all in the order of canonical JSON but the groups: sorted once, for rows by the thousand. */
export interface EntryShape {
  /** Names of what an entry says. */
  readonly members: readonly string[];
  readonly groups: readonly { readonly group: string; readonly columns: readonly string[] }[];
  readonly groupNames: readonly string[];
}

export const entryShapes: Readonly<Record<EntryKind, EntryShape>> = {
  policy_log: shapeOf(columnsOf.policy_log),
  alert_timeline: shapeOf(columnsOf.alert_timeline),
  endpoint_change: shapeOf(columnsOf.endpoint_change),
};

/** How long the salts of a row are: one for each group, also those that it does not have. */
export function saltsLength(kind: EntryKind): number {
  return SALT_BYTES * entryShapes[kind].groups.length;
}
/** The same of the kind with the most groups. */
export const longestSalts = Math.max(...entryKinds.map(saltsLength));

function shapeOf({ envelope, groups }: EntryColumns): EntryShape {
  return {
    members: [...envelope, 'commitments', 'kind', 'v'].toSorted(),
    groups: Object.entries(groups).map(([group, columns]) => ({ group, columns: columns.toSorted() })),
    groupNames: Object.keys(groups).toSorted(),
  };
}
