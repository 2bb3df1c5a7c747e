import { MoonguardError } from '../errors.ts';
import { printable } from './table.ts';

/** What is told about an error: code and message, each problem on its own line when there are several, what to do. */
export function errorLines(error: unknown): string[] {
  if (!(error instanceof MoonguardError)) {
    return [`internal_error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`];
  }
  const { code, message, problems, action } = error;
  const what =
    problems.length > 1
      ? [
          `${code}: ${problems.length} problems`,
          ...problems.map((each) => `  ${each.field}: ${each.message} (${each.code})`),
        ]
      : [`${code}: ${message}`];
  return [...what, `What to do: ${action}`].map(printable);
}
