/** Far above any payload of MoonPay, far below the depth at which PostgreSQL or a recursive reader runs out of stack. */
const MAX_DEPTH = 256;

/**
 * Digits of a number written out without exponent; every double fits. jsonb writes exponents out, so that each `1e131071`
 * (the largest it takes) would come back as 131 kB.
 */
const MAX_DIGITS = 1_000;

const QUOTE = 0x22;
const DIGIT_ZERO = 0x30;
const DIGIT_NINE = 0x39;
const OPEN_BRACKET = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_BRACKET = 0x5d;
const LOWER_U = 0x75;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;

/**
 * Whether PostgreSQL takes this text as jsonb. The text must be valid JSON made from valid UTF-8. jsonb refuses what
 * JSON allows: `\u0000`, half of a surrogate pair, numbers and nesting without bounds; also in a duplicate key that a
 * parsed object no longer shows, hence the look at the text. Does not recurse; 2 µs a kB.
 */
export function fitsJsonb(json: string): boolean {
  let depth = 0;
  for (let at = 0; at < json.length; at++) {
    const unit = json.charCodeAt(at);
    if (unit === QUOTE) {
      const end = endOfString(json, at);
      if (end === undefined) return false;
      at = end;
    } else if (unit === OPEN_BRACE || unit === OPEN_BRACKET) {
      if (++depth > MAX_DEPTH) return false;
    } else if (unit === CLOSE_BRACE || unit === CLOSE_BRACKET) {
      depth--;
    } else if (unit >= DIGIT_ZERO && unit <= DIGIT_NINE) {
      const end = endOfNumber(json, at);
      if (end === undefined) return false;
      at = end;
    }
  }
  return true;
}

/** Index of the closing quote; undefined when an escape in the string stands for no character that jsonb can hold. */
function endOfString(json: string, start: number): number | undefined {
  let at = start + 1;
  while (at < json.length) {
    const unit = json.charCodeAt(at);
    if (unit === QUOTE) return at;
    if (unit !== BACKSLASH) {
      at++;
    } else if (json.charCodeAt(at + 1) !== LOWER_U) {
      at += 2;
    } else {
      const length = lengthOfEscape(json, at);
      if (length === undefined) return undefined;
      at += length;
    }
  }
  return undefined;
}

/** Length of a `\uXXXX` or of a pair of them that make one character. */
function lengthOfEscape(json: string, at: number): number | undefined {
  const unit = json.slice(at + 2, at + 6);
  if (unit === '0000' || /^d[c-f]/i.test(unit)) return undefined;
  if (!/^d[89ab]/i.test(unit)) return 6;
  return /^\\ud[c-f]/i.test(json.slice(at + 6, at + 12)) ? 12 : undefined;
}

/** Index of the last character of a number, given its first digit; undefined when it has too many digits. */
function endOfNumber(json: string, start: number): number | undefined {
  let end = start;
  let exponentAt: number | undefined;
  for (;;) {
    const unit = json[end];
    if (unit === 'e' || unit === 'E') exponentAt = end + 1;
    else if (unit === undefined || !'-+.0123456789'.includes(unit)) break;
    end++;
  }
  const exponent = exponentAt === undefined ? 0 : Math.abs(Number(json.slice(exponentAt, end)));
  return end - start + exponent > MAX_DIGITS ? undefined : end - 1;
}
