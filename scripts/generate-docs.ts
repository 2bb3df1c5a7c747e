/** Writes docs/errors.md, docs/configuration.md and docs/policy.schema.json from their source; `--check` compares instead. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { z } from 'zod';
import { settings } from '../src/config.ts';
import { errorCatalogue } from '../src/errors.ts';
import { policyDocumentSchema } from '../src/policy/document.ts';

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

const policySchema = `${JSON.stringify({ title: 'A policy of Moonguard', ...z.toJSONSchema(policyDocumentSchema, { io: 'input' }) }, null, 2)}\n`;

const files = { 'errors.md': errors, 'configuration.md': configuration, 'policy.schema.json': policySchema };
const check = process.argv.includes('--check');
for (const [name, content] of Object.entries(files)) {
  const file = new URL(`../docs/${name}`, import.meta.url);
  if (!check) {
    writeFileSync(file, content);
  } else if (!existsSync(file) || readFileSync(file, 'utf8') !== content) {
    console.error(`docs/${name} is not what its source says: run npm run docs`);
    process.exitCode = 1;
  }
}
