import { createHash } from 'node:crypto';

/**
 * The one way to write a value of JSON: keys sorted by code unit, no spaces, undefined fields left out. Equal values have
 * equal text, whatever jsonb did to their order. Decisions are hashed with it on every event: no list is made on the way.
 */
export function canonicalJson(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  let written = '';
  if (Array.isArray(value)) {
    for (const element of value) written += `${written === '' ? '' : ','}${canonicalJson(element)}`;
    return `[${written}]`;
  }
  const members: Readonly<Record<string, unknown>> = { ...value };
  for (const key of Object.keys(members).toSorted()) {
    const member = members[key];
    if (member !== undefined) written += `${written === '' ? '' : ','}${JSON.stringify(key)}:${canonicalJson(member)}`;
  }
  return `{${written}}`;
}

/** SHA-256 of {@link canonicalJson}, in hex. */
export function hashOf(value: unknown): string {
  return createHash('sha256').update(canonicalJson(value)).digest('hex');
}
