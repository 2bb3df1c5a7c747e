/** A number with the digits it was written with. */
class Digits {
  readonly source: string;
  constructor(source: string) {
    this.source = source;
  }
}

/**
 * The members of a JSON object that are not null, each as canonical JSON: keys sorted by code unit, no spaces (RFC 8785).
 * Numbers keep their digits, other than there: as doubles, two that differ in the seventeenth digit would be one.
 */
export function canonicalContent(json: string): ReadonlyMap<string, string> {
  const value: unknown = JSON.parse(json, keepDigits);
  const members = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return new Map(members.filter(([, member]) => member !== null).map(([name, member]) => [name, canonical(member)]));
}

function keepDigits(_key: string, value: unknown, context?: { readonly source?: string }): unknown {
  return typeof value === 'number' && context?.source !== undefined ? new Digits(context.source) : value;
}

function canonical(value: unknown): string {
  if (value instanceof Digits) return value.source;
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const members = Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`);
  return `{${members.join(',')}}`;
}
