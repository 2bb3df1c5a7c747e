import { z } from 'zod';
import { identifier, text } from '../input/fields.ts';
import type { PolicyListRow } from './store/listPolicyLists.ts';

/** Values that policies look up: `event.wallet.address in lists.blocked_wallets`. */
export interface PolicyList {
  readonly name: string;
  readonly description: string | null;
  /** False: values are kept and looked up in lower case. */
  readonly isCaseSensitive: boolean;
  readonly createdBy: string;
  readonly createdAt: Date;
}

export interface PolicyListValue {
  readonly value: string;
  /** Why it is on the list. */
  readonly note: string | null;
  readonly addedBy: string;
  readonly addedAt: Date;
}

export const newPolicyListSchema = z.strictObject({
  name: z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be lower case letters, digits and _'),
  description: text.optional(),
  /** Default true. */
  isCaseSensitive: z.boolean().default(true),
});
export type NewPolicyListInput = z.input<typeof newPolicyListSchema>;
export type NewPolicyList = z.output<typeof newPolicyListSchema>;

/** Values of one call. */
const MOST_VALUES = 100_000;

/** A blank that was copied along would make a value that is never found. */
const value = z.string().trim().pipe(identifier);

export const listValuesSchema = z.strictObject({
  values: z.array(value).min(1).max(MOST_VALUES),
  note: text.optional(),
});

export const valuePageSchema = z.strictObject({
  /** Rows a page, at most 1000; default 100. */
  limit: z.int().min(1).max(1000).default(100),
  /** Only after this value, in the order of their bytes. */
  after: z.string().optional(),
});
export type ValuePageInput = z.input<typeof valuePageSchema>;
export type ValuePage = z.output<typeof valuePageSchema>;

/** The row as the rest of the program sees it. */
export function decodePolicyList(row: PolicyListRow): PolicyList {
  return {
    name: row.name,
    description: row.description,
    isCaseSensitive: row.case_sensitive,
    createdBy: row.created_by,
    createdAt: row.created_at,
  };
}
