import { randomBytes } from 'node:crypto';
import { MoonguardError } from '../errors.ts';
import { canonicalContent } from './canonicalContent.ts';
import { sha256 } from './tree.ts';

/**
 * What a row of the policy log is in the tree: an envelope without anything personal, with one salted commitment for each
 * group of its columns. A group can be shown, or erased, without the others. The order is that of the stored salts.
 */
const groups = {
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
    'auto_generated',
    'source',
    'correlation_id',
    'created_at',
    'updated_at',
  ],
} as const satisfies Record<string, readonly string[]>;
export type Group = keyof typeof groups;
export const groupNames = [
  'actor',
  'subject',
  'inputs',
  'before',
  'after',
  'rules',
  'violation',
  'words',
  'rest',
] as const satisfies Group[];

const envelopeColumns = ['action_type', 'executed_at', 'log_id', 'policy_id'] as const;

/** Columns that a user added are not among them: one with a default, added later, would make old rows look changed. */
export const coveredColumns: readonly string[] = [...envelopeColumns, ...Object.values(groups).flat()];

const VERSION = 1;
const SALT_BYTES = 16;
const SALTS_BYTES = SALT_BYTES * groupNames.length;
const TAG = 'moonguard/group/v1';
/** An entry of a log has at most 65,535 bytes; any client may write any text into these columns. */
const LONGEST_TEXT = 1024;

/** A group as its commitment hides it. */
export interface Disclosure {
  readonly salt: Uint8Array;
  /** Canonical JSON of its columns. */
  readonly content: string;
}
export type Disclosures = ReadonlyMap<Group, Disclosure>;

export interface LogEntry {
  /** The bytes that are hashed, as text. */
  readonly text: string;
  readonly groups: Disclosures;
}

/** Salts for so many rows. A group that a row does not have is not salted; what stands in its place is nobody's. */
export function newSalts(rows: number): Buffer[] {
  const random = randomBytes(SALTS_BYTES * rows);
  return Array.from({ length: rows }, (_, row) => random.subarray(row * SALTS_BYTES, (row + 1) * SALTS_BYTES));
}

/**
 * @param row as `to_jsonb` gives it, in UTC
 * @param salts those of all groups, one after the other
 */
export function entryOf(row: string, salts: Uint8Array): LogEntry {
  const content = canonicalContent(row);
  const disclosed = new Map<Group, Disclosure>();
  for (const [place, group] of groupNames.entries()) {
    const columns = membersText(content, groups[group]);
    if (columns === undefined) continue;
    disclosed.set(group, { salt: salts.subarray(place * SALT_BYTES, (place + 1) * SALT_BYTES), content: columns });
  }
  return { text: entryText(content, disclosed), groups: disclosed };
}

/**
 * Whether groups are those that the entry commits to. Groups that are not shown are not looked at.
 * @throws MoonguardError audit_version_unknown, audit_entry_invalid
 */
export function commitsTo(entry: string, disclosed: Disclosures): boolean {
  const commitments = commitmentsOf(entry);
  return Array.from(disclosed).every(([group, disclosure]) => commitments[group] === commitmentOf(group, disclosure));
}

/** The log_id that an entry says it is of. @throws MoonguardError audit_entry_invalid */
export function logIdOf(entry: string): string | undefined {
  const { log_id: logId } = parsedEntry(entry);
  return typeof logId === 'string' ? logId : undefined;
}

function entryText(content: ReadonlyMap<string, string>, disclosed: Disclosures): string {
  const commitments = Array.from(disclosed, ([group, disclosure]) => `"${group}":"${commitmentOf(group, disclosure)}"`);
  const members: Record<string, string> = { commitments: `{${commitments.toSorted().join(',')}}`, v: String(VERSION) };
  for (const column of envelopeColumns) members[column] = bounded(content.get(column) ?? 'null');
  return `{${Object.keys(members)
    .toSorted()
    .map((name) => `"${name}":${members[name]}`)
    .join(',')}}`;
}

function membersText(content: ReadonlyMap<string, string>, columns: readonly string[]): string | undefined {
  const members = columns.toSorted().flatMap((column) => {
    const value = content.get(column);
    return value === undefined ? [] : [`"${column}":${value}`];
  });
  return members.length === 0 ? undefined : `{${members.join(',')}}`;
}

function commitmentOf(group: Group, { salt, content }: Disclosure): string {
  return sha256(Buffer.from(`${TAG}\0${group}\0`), salt, Buffer.from(content)).toString('base64');
}

function bounded(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `"sha256:${sha256(Buffer.from(text)).toString('hex')}"`;
}

function commitmentsOf(entry: string): Readonly<Record<string, unknown>> {
  const { v, commitments } = parsedEntry(entry);
  if (v !== VERSION) {
    throw new MoonguardError('audit_version_unknown', `The entry is of version ${String(v)}; known is ${VERSION}.`);
  }
  if (!isRecord(commitments)) throw invalidEntry();
  return commitments;
}

function parsedEntry(entry: string): Readonly<Record<string, unknown>> {
  try {
    const parsed: unknown = JSON.parse(entry);
    if (isRecord(parsed)) return parsed;
  } catch {
    // Said below.
  }
  throw invalidEntry();
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function invalidEntry(): MoonguardError {
  return new MoonguardError('audit_entry_invalid', 'It is no entry of a log: an object of version and commitments.');
}
