import { isDeepStrictEqual } from 'node:util';

/** One place at which two values differ. */
export interface Change {
  /** `rules.daily_amount.when`: what has an id or a name goes by it, whatever its place. Empty: the whole. */
  readonly path: string;
  /** Undefined: there is none. */
  readonly before?: unknown;
  readonly after?: unknown;
}

/** Where two values of JSON differ, in the order of the first; what only the other has comes after. */
export function structuralDiff(before: unknown, after: unknown): Change[] {
  return changesOf('', before, after);
}

function changesOf(path: string, before: unknown, after: unknown): Change[] {
  if (isDeepStrictEqual(before, after)) return [];
  const [one, other] = [partsOf(before), partsOf(after)];
  if (one === undefined || other === undefined) return [{ path, before, after }];
  const names = new Set([...Object.keys(one), ...Object.keys(other)]);
  const changes = [...names].flatMap((name) =>
    changesOf(path === '' ? name : `${path}.${name}`, one[name], other[name]),
  );
  // The same parts in another order: rules of mode `first` are asked in theirs.
  return changes.length > 0 ? changes : [{ path, before, after }];
}

/** The parts of an object, or of a list whose members have ids or names of their own. */
function partsOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (!Array.isArray(value)) return isObject(value) ? value : undefined;
  const named = value.map((member: unknown) => [nameOf(member), member] as const);
  if (named.length === 0 || !named.every(([name]) => name !== undefined)) return undefined;
  return Object.fromEntries(named);
}

function nameOf(member: unknown): string | undefined {
  if (!isObject(member)) return undefined;
  const name = member['id'] ?? member['name'];
  return typeof name === 'string' ? name : undefined;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
