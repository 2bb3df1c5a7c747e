import type { Problem } from '../errors.ts';
import type { PolicyDocument } from './document.ts';

/** Reads a policy from JSON or YAML; problems give the line and the column. */
export function parseDocumentText(
  _text: string,
): { readonly document: PolicyDocument } | { readonly problems: readonly Problem[] } {
  throw new Error('not built yet');
}

/** The document as YAML. */
export function documentYaml(_document: PolicyDocument): string {
  throw new Error('not built yet');
}
