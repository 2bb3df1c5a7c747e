import type { z } from 'zod';
import { type ErrorCode, MoonguardError, type Problem } from '../errors.ts';

/**
 * Reads what a caller gave.
 * @throws MoonguardError `code`, naming every problem of the input, not only the first
 */
export function parseInput<Schema extends z.ZodType>(
  schema: Schema,
  input: unknown,
  code: ErrorCode,
): z.output<Schema> {
  const parsed = schema.safeParse(input, { reportInput: true });
  if (parsed.success) return parsed.data;
  throw inputError(code, parsed.error.issues.flatMap(problemsOf));
}

/** An error about input, whose message says all that its problems say. */
export function inputError(code: ErrorCode, problems: readonly Problem[], cause?: unknown): MoonguardError {
  const parts = problems.map(({ field, message }) => (field === '' ? message : `${field}: ${message}`));
  return new MoonguardError(code, parts.join('; '), { problems, cause });
}

/** What zod found, in our words. */
export function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  const field = issue.path.join('.');
  const missing = issue.input === undefined;
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => ({
        code: 'unknown_field',
        field: [...issue.path, key].join('.'),
        message: 'there is no such field',
      }));
    case 'invalid_type':
      return [{ code: missing ? 'required' : 'wrong_type', field, message: issue.message }];
    case 'invalid_value':
      return [
        { code: missing ? 'required' : 'unknown_value', field, message: `must be one of ${issue.values.join(', ')}` },
      ];
    case 'too_small':
      return issue.origin === 'string'
        ? [{ code: 'empty', field, message: 'must not be empty' }]
        : [{ code: 'too_small', field, message: `must be at least ${issue.minimum}` }];
    case 'too_big':
      return issue.origin === 'string'
        ? [{ code: 'too_long', field, message: `at most ${issue.maximum} characters` }]
        : [{ code: 'too_big', field, message: `must be at most ${issue.maximum}` }];
    case 'custom':
      return [{ code: String(issue.params?.['code'] ?? 'invalid'), field, message: issue.message }];
    case 'invalid_format':
    case 'invalid_union':
    case 'invalid_key':
    case 'invalid_element':
    case 'not_multiple_of':
      return [{ code: 'malformed', field, message: issue.message }];
  }
}
