import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { MoonguardError, type Problem } from '../errors.ts';
import { inputError } from '../input/parseInput.ts';
import type { PolicyDocument } from './document.ts';
import { parseDocumentText } from './documentText.ts';

/** A file with one policy, JSON or YAML. */
export interface PolicyFile {
  readonly file: string;
  readonly document: PolicyDocument;
}

/** What a file holds, or everything that is wrong with it. */
export type CheckedFile = PolicyFile | { readonly file: string; readonly problems: readonly Problem[] };

export function readPolicyFile(file: string): CheckedFile {
  try {
    return { file, ...parseDocumentText(readFileSync(file, 'utf8')) };
  } catch (error) {
    if (!isFileError(error)) throw error;
    return { file, problems: [{ code: 'unreadable', field: '', message: error.message }] };
  }
}

/**
 * The policies of a folder and the folders in it, by id.
 * @throws MoonguardError policy_invalid with the problems of all files; each names its file
 */
export function readPolicyFolder(folder: string): PolicyFile[] {
  const found: PolicyFile[] = [];
  const problems: Problem[] = [];
  for (const file of policyFileNames(folder)) {
    const read = readPolicyFile(file);
    if ('problems' in read) problems.push(...read.problems.map((problem) => placed(problem, file)));
    else found.push(read);
  }
  for (const { file, document } of found.filter(({ document: { id } }, at) => firstOf(found, id) !== at)) {
    const other = found[firstOf(found, document.id)]?.file;
    problems.push({ code: 'not_unique', field: `${file}: id`, message: `${other} has this id too` });
  }
  if (problems.length > 0) throw inputError('policy_invalid', problems);
  return found.toSorted((one, other) => (one.document.id < other.document.id ? -1 : 1));
}

/** The document of a file. @throws MoonguardError policy_invalid */
export function documentOfFile(file: string): PolicyDocument {
  const read = readPolicyFile(file);
  if ('problems' in read) {
    throw inputError(
      'policy_invalid',
      read.problems.map((problem) => placed(problem, file)),
    );
  }
  return read.document;
}

function policyFileNames(folder: string): string[] {
  try {
    return readdirSync(folder, { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ya?ml|json)$/.test(name))
      .toSorted()
      .map((name) => join(folder, name));
  } catch (error) {
    if (!isFileError(error)) throw error;
    throw new MoonguardError('policy_invalid', error.message, { cause: error });
  }
}

const firstOf = (files: readonly PolicyFile[], id: string): number =>
  files.findIndex(({ document }) => document.id === id);

function placed(problem: Problem, file: string): Problem {
  return { ...problem, field: problem.field === '' ? file : `${file}: ${problem.field}` };
}

function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'syscall' in error;
}
