import { hash, randomBytes } from 'node:crypto';
import { MoonguardError } from '../errors.ts';
import { canonicalContent } from './canonicalContent.ts';
import { type EntryKind, entryShapes, longestSalts, SALT_BYTES } from './entryKinds.ts';
import { sha256 } from './tree.ts';

/**
 * What a row is in the tree: an envelope without anything personal, with one salted commitment for each group of its columns.
 * A group can be shown, or erased, without the others.
 */
const VERSION = 1;
const TAG = 'moonguard/group/v1';
/** An entry of a log has at most 65,535 bytes; any client may write any text into these columns. A longer one is hashed. */
const LONGEST_TEXT = 1024;

/** A group as its commitment hides it. */
export interface Disclosure {
  readonly salt: Uint8Array;
  /** Canonical JSON of its columns. */
  readonly content: string;
}
/** By group. */
export type Disclosures = ReadonlyMap<string, Disclosure>;

/** Of groups that were erased: their commitments, in base64. */
export type ErasedGroups = Readonly<Record<string, string>>;

/** What an erased group says where a column of it may not be null. */
const contentOfErased: Readonly<Record<string, string>> = {
  actor: '{"executed_by":"erased"}',
  words: '{"metadata":{}}',
};

export interface LogEntry {
  /** The bytes that are hashed, as text. */
  readonly text: string;
  readonly groups: Disclosures;
}

/** Salts for so many rows of any kind, one row's after the other's. A group that a row does not have is not salted. */
export function newSalts(rows: number): Buffer {
  return randomBytes(rows * longestSalts);
}

/**
 * @param row as `to_jsonb` gives it, in UTC
 * @param salts those of all groups, one after the other
 * @param erased commitments of groups without content: a group that has content commits to that, whatever is said
 */
export function entryOf(
  row: string,
  salts: Uint8Array,
  erased: ErasedGroups = {},
  kind: EntryKind = 'policy_log',
): LogEntry {
  const content = canonicalContent(row);
  const disclosed = new Map<string, Disclosure>();
  const commitments = new Map<string, string>();
  for (const [place, { group, columns }] of entryShapes[kind].groups.entries()) {
    const shown = objectText(columns, (column) => content.get(column));
    const ofErased = shown === contentOfErased[group] ? erased[group] : undefined;
    if (ofErased !== undefined) commitments.set(group, `"${ofErased}"`);
    else if (shown !== undefined) {
      const disclosure = { salt: salts.subarray(place * SALT_BYTES, (place + 1) * SALT_BYTES), content: shown };
      disclosed.set(group, disclosure);
      commitments.set(group, `"${commitmentOf(group, disclosure)}"`);
    }
  }
  return { text: entryText(kind, content, commitments), groups: disclosed };
}

/** What stays of a row's groups when all that may be about a person is erased. */
export interface ErasedEntry {
  readonly commitments: ErasedGroups;
  /** With zeros in place of those of erased groups. */
  readonly salts: Buffer;
}

/** @param row of the policy log before it is erased, as `to_jsonb` gives it, in UTC */
export function eraseEntry(row: string, salts: Uint8Array): ErasedEntry {
  const commitments = Array.from(entryOf(row, salts).groups)
    .filter(([group]) => group !== 'rest')
    .map(([group, disclosure]) => [group, commitmentOf(group, disclosure)]);
  const ofRest = entryShapes.policy_log.groups.findIndex(({ group }) => group === 'rest') * SALT_BYTES;
  const kept = Buffer.alloc(salts.length);
  kept.set(salts.subarray(ofRest, ofRest + SALT_BYTES), ofRest);
  return { commitments: Object.fromEntries(commitments), salts: kept };
}

/**
 * Whether groups are those that the entry commits to. Groups that are not shown are not looked at.
 * @throws MoonguardError audit_version_unknown, audit_entry_invalid
 */
export function commitsTo(entry: string, disclosed: Disclosures): boolean {
  const commitments = commitmentsOf(entry);
  return Array.from(disclosed).every(
    ([group, disclosure]) =>
      // With a longer salt, the beginning of the content could pass for its end.
      disclosure.salt.length === SALT_BYTES && commitments[group] === commitmentOf(group, disclosure),
  );
}

/** The row that an entry says it is of: its log_id or, of other kinds, its id. @throws MoonguardError audit_entry_invalid */
export function logIdOf(entry: string): string | undefined {
  const { id, log_id: logId = id } = parsedEntry(entry);
  return typeof logId === 'string' ? logId : undefined;
}

function entryText(
  kind: EntryKind,
  content: ReadonlyMap<string, string>,
  /** As JSON. */
  commitments: ReadonlyMap<string, string>,
): string {
  const { members, groupNames } = entryShapes[kind];
  const said: Readonly<Record<string, string>> = {
    commitments: objectText(groupNames, (group) => commitments.get(group)) ?? '{}',
    kind: `"${kind}"`,
    v: String(VERSION),
  };
  return objectText(members, (name) => said[name] ?? bounded(content.get(name) ?? 'null')) ?? '{}';
}

/** Those of the members that there are, in this order; undefined when there are none. */
function objectText(names: readonly string[], valueOf: (name: string) => string | undefined): string | undefined {
  let members = '';
  for (const name of names) {
    const value = valueOf(name);
    if (value !== undefined) members += `${members === '' ? '' : ','}"${name}":${value}`;
  }
  return members === '' ? undefined : `{${members}}`;
}
function commitmentOf(group: string, { salt, content }: Disclosure): string {
  const tag = `${TAG}\0${group}\0`;
  // Ten a row: to make buffers of the parts and join these takes three times as long.
  const bytes = Buffer.allocUnsafe(tag.length + salt.length + Buffer.byteLength(content));
  bytes.write(tag);
  bytes.set(salt, tag.length);
  bytes.write(content, tag.length + salt.length);
  return hash('sha256', bytes, 'base64');
}

function bounded(text: string): string {
  return text.length <= LONGEST_TEXT ? text : `{"sha256":"${sha256(Buffer.from(text)).toString('hex')}"}`;
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
