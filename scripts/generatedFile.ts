import { readFileSync, writeFileSync } from 'node:fs';
import { relative } from 'node:path';

/** Writes a generated file; with `--check` on the command line it compares instead and fails when the file is out of date. */
export function writeGenerated(path: string, text: string, command: string): void {
  const name = relative(process.cwd(), path);
  if (!process.argv.includes('--check')) {
    writeFileSync(path, text);
    console.log(`wrote ${name}`);
  } else if (readFileSync(path, 'utf8') !== text) {
    console.error(`${name} is out of date: run \`npm run ${command}\` and commit the result.`);
    process.exitCode = 1;
  }
}
