import type { Problem } from '../errors.ts';

const mostHeaders = 50;
/** Names and values together. */
const mostBytes = 8 * 1024;

/** RFC 9110 section 5.6.2. */
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Printable Latin-1 and tab: no CR, LF or NUL, with which a value could end its line and begin a header of its own. */
const fieldValue = /^[\t\x20-\x7e\xa0-\xff]*$/;

/** Set by the sender, or about the connection: an endpoint must not be able to forge or break them. */
const reservedNames = new Set([
  'content-type',
  'content-length',
  'content-encoding',
  'host',
  'connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'expect',
]);
const reservedPrefixes = ['webhook-', 'moonpay-signature', 'proxy-'];

/** What is wrong with the custom headers of an endpoint, an object of name → value; empty when they can be sent. */
export function checkEndpointHeaders(headers: unknown): Problem[] {
  if (typeof headers !== 'object' || headers === null || Array.isArray(headers)) {
    return [{ code: 'headers_malformed', field: 'headers', message: 'headers must be an object of name to value' }];
  }
  const problems: Problem[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  for (const [name, value] of Object.entries(headers)) {
    const problem = nameProblem(name, seen) ?? valueProblem(value);
    if (problem !== undefined) problems.push({ ...problem, field: `headers.${name}` });
    seen.add(name.toLowerCase());
    bytes += name.length + (typeof value === 'string' ? value.length : 0);
  }
  if (seen.size > mostHeaders) {
    problems.push({ code: 'headers_too_many', field: 'headers', message: `at most ${mostHeaders} headers` });
  }
  if (bytes > mostBytes) {
    problems.push({ code: 'headers_too_large', field: 'headers', message: `at most ${mostBytes} bytes together` });
  }
  return problems;
}

type FieldProblem = Pick<Problem, 'code' | 'message'>;

function nameProblem(name: string, seen: ReadonlySet<string>): FieldProblem | undefined {
  const lowerCase = name.toLowerCase();
  if (!token.test(name)) return { code: 'header_name_invalid', message: 'not a valid header name' };
  if (reservedNames.has(lowerCase) || reservedPrefixes.some((prefix) => lowerCase.startsWith(prefix))) {
    return { code: 'header_reserved', message: 'this header is set by Moonguard and cannot be replaced' };
  }
  if (seen.has(lowerCase)) return { code: 'header_duplicate', message: 'given twice in different capitals' };
  return undefined;
}

function valueProblem(value: unknown): FieldProblem | undefined {
  if (typeof value === 'string' && fieldValue.test(value)) return undefined;
  return {
    code: 'header_value_invalid',
    message: 'must be a string of printable Latin-1 characters, without CR or LF',
  };
}
