import { hash } from 'node:crypto';
import { isObject } from './payloadText.ts';

/** Texts of what {@link writtenOnce} was given. */
const written = new WeakMap<object, string>();

/**
 * The one way to write a value of JSON: keys sorted by code unit, no spaces, undefined fields left out. Equal values have
 * equal text, whatever jsonb did to their order. Every decision is hashed with it: made by copying and sorting, its text was
 * half of all that deciding on a request left to the garbage collector.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) {
    let elements = '';
    for (const element of value) elements += elements === '' ? canonicalJson(element) : `,${canonicalJson(element)}`;
    return `[${elements}]`;
  }
  if (!isObject(value)) return JSON.stringify(value);
  const known = written.get(value);
  if (known !== undefined) return known;
  let members = '';
  for (const key of sortedKeys(value)) {
    const member = value[key];
    if (member === undefined) continue;
    if (members !== '') members += ',';
    members += `${JSON.stringify(key)}:${canonicalJson(member)}`;
  }
  return `{${members}}`;
}

/** Objects of few fields mostly come sorted. */
function sortedKeys(value: object): string[] {
  const keys = Object.keys(value);
  return keys.every((key, place) => place === 0 || (keys[place - 1] ?? '') < key) ? keys : keys.toSorted();
}

/** Freezes a value that becomes part of many others, and makes its text here and now. */
export function writtenOnce<Value extends object>(value: Value): Value {
  written.set(Object.freeze(value), canonicalJson(value));
  return value;
}

/** SHA-256 of {@link canonicalJson}, in hex. */
export function hashOf(value: unknown): string {
  return hash('sha256', canonicalJson(value));
}
