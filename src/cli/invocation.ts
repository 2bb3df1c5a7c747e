import { readFileSync } from 'node:fs';
import { z } from 'zod';

const isCheckout = import.meta.url.endsWith('.ts');

/** How whoever reads it calls a command of ours: `npm run moonguard -- doctor` in a checkout. */
export function invocation(args: string): string {
  return `${isCheckout ? 'npm run moonguard --' : 'npx moonguard'} ${args}`;
}

export function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'));
  return z.object({ version: z.string() }).parse(manifest).version;
}
