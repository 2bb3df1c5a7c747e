/**
 * The text of a PostgreSQL array of one dimension (https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO), for a
 * parameter that is cast to its type; undefined is NULL.
 */
export function arrayLiteral(elements: readonly (string | number | boolean | undefined)[]): string {
  return `{${elements.map(elementLiteral).join()}}`;
}

const SPECIAL = /["\\]/g;

/** Text always in quotes: without them the word null would be NULL, and white space be lost. */
function elementLiteral(element: string | number | boolean | undefined): string {
  if (typeof element !== 'string') return element === undefined ? 'NULL' : String(element);
  return `"${element.includes('"') || element.includes('\\') ? element.replace(SPECIAL, String.raw`\$&`) : element}"`;
}
