import { existsSync, readFileSync } from 'node:fs';
import { describe, test } from 'vitest';

/**
 * Material that developers have beside the checkout and that is not ours to publish: MoonPay's example payloads, and the
 * requirements. Tests on it are reported as skipped where it is absent, and the run says so.
 */
const folder = new URL('../../../shared/', import.meta.url);
const isThere = existsSync(folder);
if (!isThere)
  console.warn("NOT RUN: tests on MoonPay's example payloads and on the requirements: there is no ../shared");

export const describeWithShared = describe.skipIf(!isThere);
export const testWithShared = test.skipIf(!isThere);

export const examplesFolder = new URL('data/moonpay-payloads/', folder);
export const vectorsFolder = new URL('data/tlog-vectors/', folder);

/** The code blocks of a language in the requirements, as they stand there. */
export function requirementsCode(language: 'sql' | 'typescript'): string[] {
  const text = readFileSync(new URL('docs/requirements.md', folder), 'utf8');
  return Array.from(text.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs')), ([, code = '']) => code);
}
