const BACKSLASH = 0x5c;

/**
 * Bytes in PostgreSQL's format "escape" (https://www.postgresql.org/docs/current/datatype-binary.html): a backslash is two,
 * a byte that is no ASCII is a backslash and three octal digits. Text of ASCII is what it was, and read at the speed of text:
 * 1.5 kB take 0.5 µs, in hexadecimal 3 µs.
 */
export function unescapeBytes(escaped: string): Buffer {
  const bytes = Buffer.from(escaped, 'latin1');
  let from = bytes.indexOf(BACKSLASH);
  if (from === -1) return bytes;
  let length = from;
  for (; from < bytes.length; length++) {
    const byte = bytes[from] ?? 0;
    if (byte !== BACKSLASH) {
      bytes[length] = byte;
      from += 1;
    } else if (bytes[from + 1] === BACKSLASH) {
      bytes[length] = BACKSLASH;
      from += 2;
    } else {
      bytes[length] = Number.parseInt(bytes.toString('latin1', from + 1, from + 4), 8);
      from += 4;
    }
  }
  return bytes.subarray(0, length);
}
