import type { SchemaElement } from 'hyparquet';
import { z } from 'zod';
import type { ErasedGroups } from '../audit/entry.ts';
import { coveredColumns } from '../audit/entryKinds.ts';

/**
 * A row of the policy log in an archive: each column that is not null as the canonical JSON that the log's tree is made
 * from. Two rows are the same exactly when these texts are.
 */
export type RowContent = ReadonlyMap<string, string>;

/** What a column of the file holds. */
type Value = string | number | bigint | boolean | null;

interface Kind {
  readonly element: Omit<SchemaElement, 'name' | 'repetition_type'>;
  /** Undefined when the column cannot hold it. */
  readonly write: (json: string) => Value | undefined;
  readonly read: (value: unknown) => string;
}

const asText: Kind = {
  element: { type: 'BYTE_ARRAY', converted_type: 'UTF8', logical_type: { type: 'STRING' } },
  write: (json) => {
    const value: unknown = JSON.parse(json);
    return typeof value === 'string' ? value : undefined;
  },
  read: (value) => JSON.stringify(value),
};
const asJson: Kind = { element: asText.element, write: (json) => json, read: String };
const asUuid: Kind = {
  element: { type: 'FIXED_LEN_BYTE_ARRAY', type_length: 16, logical_type: { type: 'UUID' } },
  write: (json) => /^"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"$/.exec(json)?.[1],
  read: asText.read,
};
const asBoolean: Kind = {
  element: { type: 'BOOLEAN' },
  write: (json) => (json === 'true' ? true : json === 'false' ? false : undefined),
  read: String,
};
const asInteger: Kind = {
  element: { type: 'INT32' },
  write: (json) => (/^-?\d{1,9}$/.test(json) ? Number(json) : undefined),
  read: String,
};
const asTime: Kind = {
  element: {
    type: 'INT64',
    converted_type: 'TIMESTAMP_MICROS',
    logical_type: { type: 'TIMESTAMP', isAdjustedToUTC: true, unit: 'MICROS' },
  },
  write: microsecondsOf,
  read: (value) => (typeof value === 'bigint' ? timeJson(value) : String(value)),
};

const kinds: Readonly<Record<string, Kind>> = {
  id: asUuid,
  decision_id: asUuid,
  policy_version: asInteger,
  retention_period_days: asInteger,
  requires_action: asBoolean,
  follow_up_required: asBoolean,
  auto_generated: asBoolean,
  follow_up_date: asTime,
  retain_until: asTime,
  executed_at: asTime,
  created_at: asTime,
  updated_at: asTime,
  inputs: asJson,
  rule_conditions: asJson,
  rule_results: asJson,
  violation_details: asJson,
  before_state: asJson,
  after_state: asJson,
  metadata: asJson,
};

/** What the file has a column for; everything else of a row stands in the column `others`. */
const ownColumns: readonly (readonly [name: string, kind: Kind])[] = coveredColumns('policy_log').map((name) => [
  name,
  kinds[name] ?? asText,
]);

export const isTimeColumn = (name: string): boolean => kinds[name] === asTime;

/** Columns in which a value can be searched for: of each row group, the file says which values it cannot have. */
const searchedColumns: ReadonlySet<string> = new Set([
  'log_id',
  'policy_id',
  'entity_id',
  'customer_id',
  'transaction_id',
  'correlation_id',
]);

export const rowSchema: SchemaElement[] = [
  { name: 'row', num_children: ownColumns.length + 4 },
  { name: 'leaf_index', type: 'INT64', repetition_type: 'REQUIRED' },
  { name: 'salts', type: 'BYTE_ARRAY', repetition_type: 'REQUIRED' },
  { name: 'erased', ...asJson.element, repetition_type: 'OPTIONAL' },
  ...ownColumns.map(([name, { element }]): SchemaElement => ({ name, ...element, repetition_type: 'OPTIONAL' })),
  { name: 'others', ...asJson.element, repetition_type: 'OPTIONAL' },
];

/** A leaf of the tree with its row. */
export interface ArchivedRow {
  readonly index: bigint;
  /** Of the groups of columns that the leaf commits to. */
  readonly salts: Uint8Array;
  /** Commitments of groups that were erased, as JSON; null when nothing was. */
  readonly erased: string | null;
  readonly content: RowContent;
}

export interface ColumnToWrite {
  readonly name: string;
  readonly data: (Value | Uint8Array)[];
  /** Least and greatest value of each row group. */
  readonly statistics: boolean;
  readonly bloomFilter: boolean;
}

/** Rows as columns of a file. */
export function writeColumns(rows: readonly ArchivedRow[]): ColumnToWrite[] {
  const split = rows.map(({ content }) => splitContent(content));
  const column = (name: string, data: ColumnToWrite['data']): ColumnToWrite => ({
    name,
    data,
    statistics: name === 'leaf_index' || isTimeColumn(name) || searchedColumns.has(name),
    bloomFilter: searchedColumns.has(name),
  });
  return [
    column(
      'leaf_index',
      rows.map(({ index }) => index),
    ),
    column(
      'salts',
      rows.map(({ salts }) => salts),
    ),
    column(
      'erased',
      rows.map(({ erased }) => erased),
    ),
    ...ownColumns.map(([name]) =>
      column(
        name,
        split.map(({ own }) => own.get(name) ?? null),
      ),
    ),
    column(
      'others',
      split.map(({ others }) => others),
    ),
  ];
}

const othersSchema = z.array(z.tuple([z.string(), z.string()]));
const erasedSchema = z.record(z.string(), z.string());

/** A row as the reader gives it: by column. Undefined when no archive has such a row. */
export function readRow(row: Readonly<Record<string, unknown>>): ArchivedRow | undefined {
  const { leaf_index: index, salts, erased, others } = row;
  if (typeof index !== 'bigint' || !(salts instanceof Uint8Array)) return undefined;
  const content = new Map<string, string>();
  for (const [name, kind] of ownColumns) {
    const value = row[name];
    if (value !== null && value !== undefined) content.set(name, kind.read(value));
  }
  if (typeof others === 'string') {
    for (const [name, json] of othersSchema.parse(JSON.parse(others))) content.set(name, json);
  }
  return { index, salts, erased: typeof erased === 'string' ? erased : null, content };
}

/** @param json the column `erased`, which verifying proves: a commitment that is not the one that was signed makes another leaf */
export function erasedGroups(json: string | null): ErasedGroups {
  return json === null ? {} : erasedSchema.parse(JSON.parse(json));
}

/** The row as one JSON object, as `to_jsonb` would give it. */
export function rowJson(content: RowContent): string {
  return `{${Array.from(content, ([name, json]) => `${JSON.stringify(name)}:${json}`).join(',')}}`;
}

interface SplitContent {
  readonly own: ReadonlyMap<string, Value>;
  /** Columns that are not ours, and values that their column cannot hold, such as a time of infinity. */
  readonly others: string | null;
}

function splitContent(content: RowContent): SplitContent {
  const own = new Map<string, Value>();
  const others = new Map(content);
  for (const [name, kind] of ownColumns) {
    const json = content.get(name);
    const value = json === undefined ? undefined : kind.write(json);
    // Whatever does not come back as it was has no business in this column.
    if (value === undefined || kind.read(value) !== json) continue;
    own.set(name, value);
    others.delete(name);
  }
  return { own, others: others.size === 0 ? null : JSON.stringify([...others]) };
}

const TIME = /^"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?\+00:00"$/;

/** Microseconds since 1970 of a time as to_jsonb writes it in UTC. */
function microsecondsOf(json: string): bigint | undefined {
  const [, year, month, day, hour, minute, second, fraction = ''] = TIME.exec(json) ?? [];
  if (year === undefined) return undefined;
  const whole = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}Z`);
  return Number.isNaN(whole) ? undefined : BigInt(whole) * 1_000n + BigInt(fraction.padEnd(6, '0'));
}

function timeJson(microseconds: bigint): string {
  const fraction = ((microseconds % 1_000_000n) + 1_000_000n) % 1_000_000n;
  const whole = new Date(Number((microseconds - fraction) / 1_000n));
  if (Number.isNaN(whole.getTime())) return 'null';
  const digits = String(fraction).padStart(6, '0').replace(/0+$/, '');
  return `"${whole.toISOString().slice(0, -5)}${digits === '' ? '' : `.${digits}`}+00:00"`;
}
