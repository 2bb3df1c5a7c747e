import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  parseDocument,
  stringify,
  visit,
} from 'yaml';
import type { Problem } from '../errors.ts';
import { json } from '../input/fields.ts';
import { problemsOf } from '../input/parseInput.ts';
import { compilePolicy } from './compilePolicy.ts';
import { type PolicyDocument, policyDocumentSchema } from './document.ts';

const MOST_BYTES = 256 * 1024;
/** More mistakes of syntax than these say nothing new. */
const MOST_PROBLEMS = 20;

export type ReadDocument = { readonly document: PolicyDocument } | { readonly problems: readonly Problem[] };

/** Reads a policy from JSON or YAML and checks it as a whole. Problems give the line and the column. */
export function parseDocumentText(text: string): ReadDocument {
  if (Buffer.byteLength(text) > MOST_BYTES) return refused('too_long', `at most ${MOST_BYTES} bytes`);
  try {
    const lines = new LineCounter();
    // Their own search for keys that are there twice takes the square of their number.
    const yaml = parseDocument(text, { lineCounter: lines, uniqueKeys: false, prettyErrors: false, version: '1.2' });
    const placed = ({ message, ...problem }: Problem, offset: number): Problem => {
      const { line, col } = lines.linePos(offset);
      return { ...problem, message: `${message} – line ${line}, column ${col}` };
    };
    const wrong = [...yaml.errors, ...yaml.warnings]
      .slice(0, MOST_PROBLEMS)
      .map(({ message, pos: [offset] }) => placed(syntaxProblem(message), offset));
    if (wrong.length === 0) wrong.push(...refusedNodes(yaml).map(([problem, offset]) => placed(problem, offset)));
    if (wrong.length > 0) return { problems: wrong };
    const read = readDocument(yaml.toJS());
    if ('document' in read) return read;
    return { problems: read.problems.map((problem) => placed(problem, offsetOf(yaml, problem.field))) };
  } catch (error) {
    if (error instanceof RangeError) return { problems: [tooDeep] };
    throw error;
  }
}

/** Thousands of brackets in one another overflow the stack, wherever it is noticed. */
const tooDeep: Problem = { code: 'too_deep', field: '', message: 'nested too deep' };

function syntaxProblem(message: string): Problem {
  return message.includes('call stack') ? tooDeep : { code: 'syntax', field: '', message };
}

/** Checks a policy as a whole: its fields, and all that its expressions and texts name. */
export function readDocument(value: unknown): ReadDocument {
  const parsed = json.pipe(policyDocumentSchema).safeParse(value, { reportInput: true });
  if (!parsed.success) return { problems: parsed.error.issues.flatMap(problemsOf) };
  const compiled = compilePolicy(parsed.data, { version: 1, mode: 'active' });
  return 'problems' in compiled ? compiled : { document: parsed.data };
}

/** The document as YAML. */
export function documentYaml(document: PolicyDocument): string {
  return stringify(document, { lineWidth: 0 });
}

function refused(code: string, message: string): ReadDocument {
  return { problems: [{ code, field: '', message }] };
}

/** What YAML allows and a policy does not: aliases, which can stand for gigabytes or for themselves, and a key twice. */
function refusedNodes(yaml: Document): [Problem, number][] {
  const found: [Problem, number][] = [];
  const report = (node: unknown, code: string, field: string, message: string): void => {
    found.push([{ code, field, message }, (isNode(node) ? node.range?.[0] : undefined) ?? 0]);
  };
  visit(yaml, (_, node) => {
    if (isAlias(node)) report(node, 'alias', '', 'aliases are not allowed');
    if (!isMap(node)) return;
    const seen = new Set<unknown>();
    for (const { key } of node.items) {
      const name = isScalar(key) ? key.value : undefined;
      if (typeof name !== 'string') report(key, 'wrong_type', '', 'a key must be a text');
      else if (seen.has(name)) report(key, 'not_unique', name, 'is there twice');
      seen.add(name);
    }
  });
  return found;
}

/** Where a field stands, or what it is missing in. */
function offsetOf(yaml: Document, field: string): number {
  let node: unknown = yaml.contents;
  let offset = isNode(node) ? (node.range?.[0] ?? 0) : 0;
  for (const name of field === '' ? [] : field.split('.')) {
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === name);
      if (pair === undefined) break;
      offset = (isNode(pair.key) ? pair.key.range?.[0] : undefined) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(name)];
      offset = (isNode(node) ? node.range?.[0] : undefined) ?? offset;
    }
  }
  return offset;
}
