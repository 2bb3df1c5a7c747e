/** Objects of a payload: every number in them is the text it was written as. */
export type PayloadObject = Readonly<Record<string, unknown>>;

/** The payload as far as it is an object. Numbers keep their digits: a double would round what an asset of 18 decimals says. */
export function parsePayload(json: string | null): PayloadObject {
  try {
    const value: unknown = JSON.parse(json ?? '{}', sourceOfNumbers);
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

function sourceOfNumbers(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' ? (context?.source ?? String(value)) : value;
}

/** Longer text is no id and no code. */
const LONGEST_WORD = 200;

/** Text without space around it; undefined when there is none. */
export function word(value: unknown): string | undefined {
  if (typeof value !== 'string') return undefined;
  const trimmed = value.trim();
  return trimmed === '' || trimmed.length > LONGEST_WORD ? undefined : trimmed;
}

export function words(values: readonly unknown[]): string[] {
  return values.map(word).filter((value) => value !== undefined);
}

/** MoonPay prints some lists as one string where there is one entry. */
export function listOf(value: unknown): readonly unknown[] {
  if (Array.isArray(value)) return value;
  return value === undefined || value === null ? [] : [value];
}

export function isObject(value: unknown): value is PayloadObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
