import { fieldValue, token } from './fieldSyntax.ts';

/** What the head of a response says about the rest of it, and about the connection. */
export interface ResponseHead {
  readonly status: number;
  /** In bytes; `Infinity`: until the connection ends. */
  readonly bodyLength: number | 'chunked';
  /** How long the server keeps the connection open: 0 when it closes it, `Infinity` when it does not say. */
  readonly keepAliveMs: number;
  readonly retryAfter: string | undefined;
}

const wholeHead = new RegExp(`^HTTP/1\\.([01]) ([1-9]\\d\\d)(?: ${fieldValue})?(?:\r\n${token}:${fieldValue})*$`);
const knownField = /\r\n(content-length|transfer-encoding|connection|keep-alive|retry-after):([^\r]*)/gi;
/** Without the white space around it; `trim` would take what belongs to it. */
const trimmed = /[^\t ]+(?:[\t ]+[^\t ]+)*/;

/**
 * Reads a head, without the empty line at its end. Refused, with undefined, is whatever two readers could understand in
 * two ways: folded lines, white space before a colon, a CR or LF alone, lengths that differ, a length beside a
 * transfer coding.
 */
export function parseResponseHead(text: string): ResponseHead | undefined {
  const match = wholeHead.exec(text);
  if (match === null) return undefined;
  const [, minorVersion, statusCode] = match;
  const status = Number(statusCode);
  const fields = Array.from(text.matchAll(knownField), ([, name = '', value = '']) => {
    return { name: name.toLowerCase(), value: trimmed.exec(value)?.[0] ?? '' };
  });
  const valuesOf = (wanted: string) => fields.flatMap(({ name, value }) => (name === wanted ? [value] : []));
  const listOf = (name: string) =>
    valuesOf(name).flatMap((value) => value.split(',').map((item) => trimmed.exec(item.toLowerCase())?.[0] ?? ''));

  const codings = listOf('transfer-encoding');
  const bodyLength = bodyLengthOf(status, listOf('content-length'), codings);
  if (bodyLength === undefined) return undefined;
  const connection = listOf('connection');
  // HTTP/1.0 has no transfer codings: who says otherwise is not trusted with another response (RFC 9112, section 6.1).
  const isKept = minorVersion === '1' || (connection.includes('keep-alive') && codings.length === 0);
  const isClosed = connection.includes('close') || bodyLength === Number.POSITIVE_INFINITY;
  return {
    status,
    bodyLength,
    keepAliveMs: isKept && !isClosed ? keepAliveMsOf(listOf('keep-alive')) : 0,
    retryAfter: valuesOf('retry-after')[0],
  };
}

/** RFC 9112, section 6.3, which also allows to ignore a length beside a transfer coding. */
function bodyLengthOf(
  status: number,
  lengths: readonly string[],
  codings: readonly string[],
): ResponseHead['bodyLength'] | undefined {
  const [length, ...others] = lengths;
  if (length !== undefined) {
    const isOne = /^\d{1,15}$/.test(length) && others.every((other) => other === length);
    if (!isOne || codings.length > 0) return undefined;
  }
  if (status < 200 || status === 204 || status === 304) return 0;
  const chunkedAt = codings.indexOf('chunked');
  if (chunkedAt !== -1) return chunkedAt === codings.length - 1 ? 'chunked' : undefined;
  return length === undefined ? Number.POSITIVE_INFINITY : Number(length);
}

/** Of the hint `timeout=5`, in seconds. */
function keepAliveMsOf(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const seconds = /^timeout=(\d+)$/.exec(parameter)?.[1];
    if (seconds !== undefined) return Number(seconds) * 1000;
  }
  return Number.POSITIVE_INFINITY;
}
