import { bindInputs, type CompiledPolicy } from './compilePolicy.ts';
import type { Subject } from './decision.ts';
import type { DecisionInputs } from './inputs.ts';
import type { ListLookup } from './listLookup.ts';

const noLists: ListLookup = { has: () => undefined };

/** Of these policies those that the event alone does not rule out: only for them the rest of the inputs is worth gathering. */
export function candidatesFor(
  { event, absent }: Pick<Subject, 'event' | 'absent'>,
  policies: readonly CompiledPolicy[],
  now: Date,
): readonly CompiledPolicy[] {
  if (!policies.some(({ asksOnlyEvent }) => asksOnlyEvent)) return policies;
  const inputs: DecisionInputs = {
    policies: [],
    event,
    customer: { known: false },
    transaction: { known: false },
    aggregates: {},
    lists: {},
    waivers: [],
    now: now.toISOString(),
    ...(absent !== undefined && { absent }),
  };
  const bindings = bindInputs(inputs, noLists);
  return policies.filter((policy) => !policy.asksOnlyEvent || policy.appliesTo(bindings) !== 'no');
}
