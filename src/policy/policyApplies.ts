import type { Environment } from '../observe/observation.ts';
import type { PolicyDocument } from './document.ts';
import type { DecisionInputs } from './inputs.ts';

/** Whether a policy is for events of this name and environment at all. */
export function isForEvent(
  { applies_to: { events, environments } }: PolicyDocument,
  name: string,
  environment: Environment,
): boolean {
  if (environments !== undefined && !environments.includes(environment)) return false;
  return events.some((pattern) => matchesName(pattern, name));
}

/** `pattern`: a name, `transaction.*` or `*`. */
function matchesName(pattern: string, name: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : pattern === name;
}

/** Whether a policy looks at these inputs, as far as that needs no expression. */
export function isForInputs(document: PolicyDocument, { event, now }: DecisionInputs): boolean {
  const { jurisdictions, effective } = document;
  return (
    isForEvent(document, event.name, event.environment) &&
    (event.country === undefined || jurisdictions === undefined || jurisdictions.includes(event.country)) &&
    (effective === undefined || isWithin(effective, Date.parse(now)))
  );
}

function isWithin({ from, until }: NonNullable<PolicyDocument['effective']>, at: number): boolean {
  return (from === undefined || Date.parse(from) <= at) && (until === undefined || at < Date.parse(until));
}
