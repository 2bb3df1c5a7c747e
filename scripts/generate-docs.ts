/** Writes docs/errors.md and docs/configuration.md from their source; `--check` compares instead. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { settings } from '../src/config.ts';
import { errorCatalogue } from '../src/errors.ts';

const errors = `# Errors

Every error Moonguard raises on purpose has one of these codes. The HTTP answer is \`{"error": {"code", "message",
"action", "problems"?}}\` with the status below; \`problems\` names each field that is wrong. The command line prints the
same and exits with 1. Generated from src/errors.ts by \`npm run docs\`.

| code | HTTP status | what to do |
|---|---|---|
${Object.entries(errorCatalogue)
  .map(([code, { status, action }]) => `| \`${code}\` | ${status} | ${cell(action)} |`)
  .join('\n')}
`;

const configuration = `# Configuration

Environment variables of the \`moonguard\` command; one that is empty counts as not set. Programs that use the library pass
the same to \`createMoonguard\`, which reads no environment. All that is wrong is reported at once, at the start.
Generated from src/config.ts by \`npm run docs\`.

| variable | default | meaning |
|---|---|---|
${Object.entries(settings.shape)
  .map(([name, setting]) => `| \`${name}\` | ${defaultOf(setting)} | ${cell(setting.description ?? '')} |`)
  .join('\n')}
`;

function defaultOf(setting: { safeParse(value: unknown): { success: boolean; data?: unknown } }): string {
  const value = setting.safeParse(undefined).data;
  if (value === undefined || (Array.isArray(value) && value.length === 0)) return '–';
  return `\`${JSON.stringify(value).replaceAll('"', '')}\``;
}

function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

const pages = { errors, configuration };
const check = process.argv.includes('--check');
for (const [name, page] of Object.entries(pages)) {
  const file = new URL(`../docs/${name}.md`, import.meta.url);
  if (!check) {
    writeFileSync(file, page);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== page) {
    console.error(`docs/${name}.md is not what its source says: run npm run docs`);
    process.exitCode = 1;
  }
}
