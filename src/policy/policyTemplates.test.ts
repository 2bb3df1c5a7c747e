import { readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseDocumentText } from './documentText.ts';
import { runCases } from './runCases.ts';

const directory = new URL('../../policies/templates/', import.meta.url);

test.each(readdirSync(directory))('%s can be published and passes its own cases', (file) => {
  const read = parseDocumentText(readFileSync(new URL(file, directory), 'utf8'));
  if ('problems' in read) throw new Error(JSON.stringify(read.problems));

  const results = runCases(read.document);

  expect(`${read.document.id}.yaml`).toBe(file);
  expect(results.length).toBeGreaterThan(2);
  expect(results.filter(({ problems }) => problems.length > 0)).toEqual([]);
});
