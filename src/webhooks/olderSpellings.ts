import { z } from 'zod';

/** A name that earlier versions used for `field`; `convert` gives the value in today's unit or meaning. */
export interface OlderSpelling {
  readonly field: string;
  readonly convert?: (value: unknown) => unknown;
}

/**
 * Lets `settings` also accept camelCase and the older spellings (keyed by their snake_case form), and nothing at all
 * (null or undefined: every default). What comes out has today's spelling only.
 */
export function acceptOlderSpellings<Settings extends z.ZodObject>(
  settings: Settings,
  olderSpellings: ReadonlyMap<string, OlderSpelling>,
) {
  const today = (key: string): OlderSpelling => {
    const name = snakeCase(key);
    // An unknown key stays as it was written, so that the problem names what the user wrote.
    return olderSpellings.get(name) ?? { field: Object.hasOwn(settings.shape, name) ? name : key };
  };
  return z.preprocess((input, context) => {
    if (!isRecord(input)) return input ?? {};
    const canonical = new Map<string, unknown>();
    for (const [key, value] of Object.entries(input)) {
      const { field, convert } = today(key);
      if (canonical.has(field)) {
        context.addIssue({
          code: 'custom',
          path: [key],
          message: `${field} is given twice, the second time as ${key}`,
        });
      }
      canonical.set(field, convert === undefined ? value : convert(value));
    }
    return Object.fromEntries(canonical);
  }, settings);
}

function isRecord(input: unknown): input is Record<string, unknown> {
  return typeof input === 'object' && input !== null && !Array.isArray(input);
}

/** `initialDelayMs` and `verifySSL` become `initial_delay_ms` and `verify_ssl`. */
function snakeCase(key: string): string {
  return key.replace(/([a-z0-9])([A-Z]+)/g, '$1_$2').toLowerCase();
}
