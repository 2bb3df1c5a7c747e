import { fieldValue, token } from './fieldSyntax.ts';

const headerLine = new RegExp(`^${token}: ${fieldValue}\r\n$`);

/** Headers as they go over the wire. There are none that are not well-formed. */
export class HeaderLines {
  readonly #text: string;

  private constructor(text: string) {
    this.#text = text;
  }

  /** Undefined when a name is no token, or a value holds a line break, a control or what is not Latin-1. */
  static of(headers: Readonly<Record<string, string>>): HeaderLines | undefined {
    const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
    return lines.every((line) => headerLine.test(line)) ? new HeaderLines(lines.join('')) : undefined;
  }

  /** Every line with its CRLF. */
  get text(): string {
    return this.#text;
  }
}
