import { readFileSync } from 'node:fs';
import { InvalidArgumentError } from 'commander';
import { systemRuntime } from '../runtime.ts';

/** Turn what stands on the command line into values; commander tells the user which option was wrong. */

export function integer(text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw new InvalidArgumentError('It must be a whole number.');
  return Number(text);
}

/** Place in the audit log. */
export function leafIndex(text: string): bigint {
  if (!/^\d{1,18}$/.test(text)) throw new InvalidArgumentError('It must be a whole number from 0 on.');
  return BigInt(text);
}

export function port(text: string): number {
  const number = integer(text);
  if (number < 0 || number > 65_535) throw new InvalidArgumentError('It must be from 0 (any free one) to 65535.');
  return number;
}

export function count(text: string): number {
  const number = integer(text);
  if (number < 1) throw new InvalidArgumentError('It must be 1 or more.');
  return number;
}

export function positive(text: string): number {
  const number = Number(text);
  if (!Number.isFinite(number) || number <= 0) throw new InvalidArgumentError('It must be a number above 0.');
  return number;
}

/** `a,b` and the option given several times are the same. */
export function list(text: string, before: readonly string[] = []): readonly string[] {
  const given = text.split(',').map((part) => part.trim());
  return [...before, ...given.filter((part) => part !== '')];
}

/** JSON as it stands, or `@file`. */
export function json(text: string): unknown {
  try {
    return JSON.parse(text.startsWith('@') ? readFileSync(text.slice(1), 'utf8') : text);
  } catch (error) {
    throw new InvalidArgumentError(`It must be JSON, or @ and the path of a file with JSON (${reason(error)}).`);
  }
}

/** `name: value`, may be given several times. */
export function header(text: string, before: Readonly<Record<string, string>> = {}): Record<string, string> {
  const colon = text.indexOf(':');
  if (colon < 1) throw new InvalidArgumentError('It must be of the form "name: value".');
  return { ...before, [text.slice(0, colon).trim()]: text.slice(colon + 1).trim() };
}

export function time(text: string): Date {
  return valid(new Date(text), 'a time such as 2026-12-31T17:00:00Z');
}

/** A time, or how long ago: 90s, 30m, 24h, 7d. */
export function timeOrAgo(text: string): Date {
  const [, number, unit] = /^(\d{1,6})([smhd])$/.exec(text) ?? [];
  if (number !== undefined && isUnit(unit)) return new Date(systemRuntime.now() - Number(number) * unitMs[unit]);
  return valid(new Date(text), 'a time such as 2026-12-31T17:00:00Z, or as long ago as 90s, 30m, 24h, 7d');
}

function valid(date: Date, what: string): Date {
  if (Number.isNaN(date.getTime())) throw new InvalidArgumentError(`It must be ${what}.`);
  return date;
}

const unitMs = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

function isUnit(text: string | undefined): text is keyof typeof unitMs {
  return text !== undefined && text in unitMs;
}

function reason(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
