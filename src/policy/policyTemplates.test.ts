import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { documentYaml, parseDocumentText } from './documentText.ts';
import { runCases } from './runCases.ts';

const root = new URL('../../', import.meta.url);
const templates = readdirSync(new URL('policies/templates/', root));

function readPolicy(text: string) {
  const read = parseDocumentText(text);
  if ('problems' in read) throw new Error(JSON.stringify(read.problems));
  return read.document;
}

test.each(templates)('%s can be published and passes its own cases', (file) => {
  const document = readPolicy(readFileSync(new URL(`policies/templates/${file}`, root), 'utf8'));

  const results = runCases(document);

  expect(`${document.id}.yaml`).toBe(file);
  expect(results.length).toBeGreaterThan(2);
  expect(results.filter(({ problems }) => problems.length > 0)).toEqual([]);
  expect(readPolicy(documentYaml(document))).toEqual(document);
});

test('so does the example of the manual', () => {
  const manual = readFileSync(new URL('docs/policy-language.md', root), 'utf8');
  const [, example = ''] = /```yaml\n(.*?)```/s.exec(manual) ?? [];

  expect(runCases(readPolicy(example))).toEqual([expect.objectContaining({ name: 'the fourth card', problems: [] })]);
});
