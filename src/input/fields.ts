import { z } from 'zod';
import { fitsJsonb } from '../receive/jsonbText.ts';

/** Fields that several services take. Each holds only what PostgreSQL can store and, for identifiers, index. */

const LONGEST_IDENTIFIER = 500;
const LONGEST_TEXT_BYTES = 64 * 1024;
const LONGEST_JSON_BYTES = 256 * 1024;

const storable = (value: string): boolean => !value.includes('\0') && value.isWellFormed();
const notStorable = { error: 'holds a character that cannot be stored', params: { code: 'not_storable' } };

/** An identifier; an index entry of PostgreSQL takes 2,704 bytes. */
export const identifier = z.string().min(1).max(LONGEST_IDENTIFIER).refine(storable, notStorable);

/** Text for people, up to 64 KiB. */
export const text = z
  .string()
  .refine((value) => value.trim() !== '', { error: 'must not be empty', params: { code: 'empty' } })
  .refine((value) => Buffer.byteLength(value) <= LONGEST_TEXT_BYTES, {
    error: `at most ${LONGEST_TEXT_BYTES} bytes`,
    params: { code: 'too_long' },
  })
  .refine(storable, notStorable);

/** Anything that JSON can say, up to 256 KiB. */
export const json = z.unknown().superRefine(checkJson);

export const jsonObject = z.record(z.string(), z.unknown()).superRefine(checkJson);

/** One word of a closed list, or several; comes out as several. */
export function oneOrMore<const Words extends readonly [string, ...string[]]>(words: Words) {
  const word = z.enum(words);
  return z
    .union([word, z.array(word).min(1)], { error: `must be one or more of ${words.join(', ')}` })
    .transform((given) => [given].flat())
    .optional();
}

export const pageFields = {
  /** Rows a page, at most 200; default 50. */
  limit: z.int().min(1).max(200).default(50),
  /** `nextCursor` of the page before. */
  cursor: z.string().optional(),
};

function checkJson(value: unknown, context: z.core.$RefinementCtx): void {
  const problem = jsonProblem(value);
  if (problem !== undefined) {
    context.addIssue({ code: 'custom', message: problem.message, params: { code: problem.code } });
  }
}

function jsonProblem(value: unknown): { code: string; message: string } | undefined {
  let written: string | undefined;
  try {
    written = JSON.stringify(value);
  } catch {
    // A bigint or a circle; a function or symbol gives undefined below.
  }
  if (written === undefined) return { code: 'wrong_type', message: 'cannot be written as JSON' };
  if (Buffer.byteLength(written) > LONGEST_JSON_BYTES) {
    return { code: 'too_long', message: `at most ${LONGEST_JSON_BYTES} bytes of JSON` };
  }
  return fitsJsonb(written) ? undefined : { code: 'not_storable', message: 'PostgreSQL cannot store it as jsonb' };
}
