/** An object or array that has begun. */
interface Composite {
  /** Of an object, with their quotes: those of its members and, until its value has come, the next one's. */
  readonly names: string[] | undefined;
  readonly values: string[];
}

const SPACE = 0x20;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPENING_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSING_BRACKET = 0x5d;
const OPENING_BRACE = 0x7b;
const CLOSING_BRACE = 0x7d;

/**
 * The members of a JSON object that are not null, each as canonical JSON: keys sorted by code unit, no spaces (RFC 8785).
 * Numbers keep their digits, other than there: as doubles, two that differ in the seventeenth digit would be one.
 *
 * Rearranges the text: to parse it with a reviver and write it again takes several times as long. Without recursion:
 * PostgreSQL takes documents nested deeper than our stack, and one of them must not stop the log.
 * @param json as PostgreSQL writes it from text and jsonb: its strings are escaped as in RFC 8785 already
 */
export function canonicalContent(json: string): ReadonlyMap<string, string> {
  const outer: Composite[] = [];
  let innermost: Composite = { names: [], values: [] };
  // Without the document's own braces, its members are what is innermost at the end.
  for (let at = 1; at < json.length - 1; ) {
    const code = json.charCodeAt(at);
    let end = at + 1;
    if (code === OPENING_BRACE || code === OPENING_BRACKET) {
      outer.push(innermost);
      innermost = { names: code === OPENING_BRACE ? [] : undefined, values: [] };
    } else if (code === CLOSING_BRACE || code === CLOSING_BRACKET) {
      const text = textOf(innermost);
      innermost = outer.pop() ?? innermost;
      innermost.values.push(text);
    } else if (code > SPACE && code !== COMMA && code !== COLON) {
      end = code === QUOTE ? endOfString(json, at) : endOfLiteral(json, at);
      const { names, values } = innermost;
      const isName = names?.length === values.length;
      (isName ? names : values).push(json.slice(at, end));
    }
    at = end;
  }
  const content = new Map<string, string>();
  for (const [place, value] of innermost.values.entries()) {
    if (value !== 'null') content.set(keyOf(innermost.names?.[place] ?? ''), value);
  }
  return content;
}

function textOf({ names, values }: Composite): string {
  if (names === undefined) return `[${values.join(',')}]`;
  const members = names
    .map((name, place) => ({ key: keyOf(name), text: `${name}:${values[place]}` }))
    .toSorted((a, b) => (a.key < b.key ? -1 : 1));
  return `{${members.map(({ text }) => text).join(',')}}`;
}

/** What a name says, without quotes and escapes. */
function keyOf(name: string): string {
  return name.includes('\\') ? String(JSON.parse(name)) : name.slice(1, -1);
}

/** Behind the quote that ends the string from `start` on. */
function endOfString(json: string, start: number): number {
  let quote = start;
  do quote = json.indexOf('"', quote + 1);
  while (isEscaped(json, quote));
  return quote + 1;
}

function isEscaped(json: string, at: number): boolean {
  let first = at;
  while (json.charCodeAt(first - 1) === BACKSLASH) first--;
  return (at - first) % 2 === 1;
}

/** Behind a number, true, false or null. */
function endOfLiteral(json: string, start: number): number {
  let end = start;
  while (!isAfterLiteral(json.charCodeAt(end))) end++;
  return end;
}

function isAfterLiteral(code: number): boolean {
  return code === COMMA || code === CLOSING_BRACE || code === CLOSING_BRACKET || code <= SPACE;
}
