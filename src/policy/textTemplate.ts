import type { CelValue } from '@bufbuild/cel';
import type { Json } from '../database/schema.generated.ts';
import { celJson } from './celJson.ts';
import type { Bindings, CompileExpression, Evaluate } from './expression.ts';

/** Text with values in it: `Check {event.identity.check_id} was refused`. A value that is absent is written as –. */
export type TextTemplate = (bindings: Bindings) => string;

const NAMED_VALUE = /\{([^{}]*)\}/g;
const PATH = /^[a-z_]\w*(\.[a-z_]\w*)+$/;

/** `compile` says which values there are. */
export function compileTemplate(
  text: string,
  compile: CompileExpression,
): { readonly template: TextTemplate } | { readonly problems: readonly string[] } {
  const values = new Map<string, Evaluate>();
  const problems: string[] = [];
  for (const [, path = ''] of text.matchAll(NAMED_VALUE)) {
    const compiled = PATH.test(path) ? compile(path) : { problems: [{ message: 'is not the path of a value' }] };
    if ('problems' in compiled) problems.push(...compiled.problems.map(({ message }) => `{${path}}: ${message}`));
    else values.set(path, compiled.evaluate);
  }
  if (problems.length > 0) return { problems };
  const template: TextTemplate = (bindings) =>
    text.replaceAll(NAMED_VALUE, (_, path: string) => {
      const evaluated = values.get(path)?.(bindings);
      return evaluated === undefined || 'error' in evaluated ? '–' : written(evaluated.value);
    });
  return { template };
}

function written(value: CelValue): string {
  return textOf(celJson(value));
}

function textOf(json: Json): string {
  if (Array.isArray(json)) return json.map(textOf).join(', ');
  return typeof json === 'string' ? json : JSON.stringify(json);
}
