import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

/** The embedded one, from nothing: 12 s of processor. */
const MAKING_A_DATABASE_TAKES_MS = 60_000;

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

const blocks = (language: string): string[] =>
  Array.from(readme.matchAll(new RegExp(`\`\`\`${language}\\n(.*?)\`\`\``, 'gs')), ([, code = '']) => code);

test('the TypeScript of the README runs as it stands', { timeout: MAKING_A_DATABASE_TAKES_MS }, async () => {
  const folder = mkdtempSync(join(tmpdir(), 'moonguard-readme-'));
  try {
    const [snippet = ''] = blocks('ts');
    const script = join(folder, 'readme.ts');
    writeFileSync(script, snippet.replace("'moonguard'", `'${join(root, 'src/index.ts')}'`));
    // Without DATABASE_URL: the embedded database, in ./data of the folder it runs in.
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [script], {
      cwd: folder,
      env: { PATH: process.env['PATH'] },
    });
    expect([stdout, stderr]).toEqual(['', '']);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test('every npm script and every page that the README names exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>;
  };
  const named = Array.from(readme.matchAll(/npm (?:run )?(start|test|demo|moonguard)\b/g), ([, script = '']) => script);
  expect(named.length).toBeGreaterThan(5);
  for (const script of named) expect(scripts).toHaveProperty(script);
  for (const [, page = ''] of readme.matchAll(/\]\(((?!https?:)[^)]+)\)/g))
    expect(readFileSync(join(root, page)).length, page).toBeGreaterThan(0);
});
