import type { z } from 'zod';
import { type ErrorCode, MoonguardError, type Problem } from './errors.ts';

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
  const message = problems.map((problem) => (problem.field === '' ? '' : `${problem.field}: `) + problem.message);
  return new MoonguardError(code, message.join('; '), { problems, cause });
}

function problemsOf(issue: z.core.$ZodIssue): Problem[] {
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({
      code: 'unknown_field',
      field: [...issue.path, key].join('.'),
      message: 'there is no such field',
    }));
  }
  return [{ code: problemCode(issue), field: issue.path.join('.'), message: message(issue) }];
}

function problemCode(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_type':
      return issue.input === undefined ? 'required' : 'wrong_type';
    case 'invalid_value':
      return issue.input === undefined ? 'required' : 'unknown_value';
    case 'too_small':
      return issue.origin === 'string' ? 'empty' : 'too_small';
    case 'too_big':
      return issue.origin === 'string' ? 'too_long' : 'too_big';
    case 'custom':
      return typeof issue.params?.['code'] === 'string' ? issue.params['code'] : 'invalid';
    default:
      return 'malformed';
  }
}

function message(issue: z.core.$ZodIssue): string {
  switch (issue.code) {
    case 'invalid_value':
      return `must be one of ${issue.values.join(', ')}`;
    case 'too_small':
      return issue.origin === 'string' ? 'must not be empty' : `must be at least ${issue.minimum}`;
    case 'too_big':
      return issue.origin === 'string' ? `at most ${issue.maximum} characters` : `must be at most ${issue.maximum}`;
    default:
      return issue.message;
  }
}
