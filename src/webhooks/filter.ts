import type { CelInput } from '@bufbuild/cel';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { Environment } from '../observe/observation.ts';
import { expressionEnvironment } from '../policy/expression.ts';
import type { ExpressionProblem } from '../policy/expressionCheck.ts';

/** What the filter of an endpoint decides on. */
export interface FilteredEvent {
  readonly id: string;
  /** Our dotted name, `transaction.completed`. */
  readonly name: string;
  /** MoonPay's own, `transaction_updated`. */
  readonly type: string;
  readonly environment: Environment;
  readonly occurredAt: Date;
  /** `data` of the payload, as JSON.parse gives it. */
  readonly data: unknown;
}

/** `error`: the filter cannot decide, as on a field that this event does not have. */
export type FilterVerdict = { readonly matches: boolean } | { readonly error: string };

export type EndpointFilter = (event: FilteredEvent) => FilterVerdict;

const compile = expressionEnvironment({
  variables: {
    event: {
      fields: {
        id: 'string',
        name: 'string',
        type: 'string',
        environment: 'string',
        occurred_at: 'google.protobuf.Timestamp',
        data: 'dyn',
      },
    },
  },
  result: 'bool',
});

/** The filter of an endpoint, in CEL: `event.name == 'transaction.completed' && event.data.baseCurrencyAmount > 100`. */
export function compileFilter(
  source: string,
): { readonly filter: EndpointFilter } | { readonly problems: readonly ExpressionProblem[] } {
  const compiled = compile(source);
  if ('problems' in compiled) return compiled;
  return {
    filter: ({ id, name, type, environment, occurredAt, data }) => {
      try {
        const evaluated = compiled.evaluate({
          'event.id': id,
          'event.name': name,
          'event.type': type,
          'event.environment': environment,
          'event.occurred_at': timestampFromDate(occurredAt),
          'event.data': celValue(data),
        });
        if ('error' in evaluated) return evaluated;
        const { value: matches } = evaluated;
        return typeof matches === 'boolean' ? { matches } : { error: `gives a ${typeof matches}, not a bool` };
      } catch (error) {
        // Data nested thousands deep overflows the stack.
        return { error: error instanceof Error ? error.message : String(error) };
      }
    },
  };
}

/** JSON for CEL. Objects become Maps: a key such as `constructor` or `__proto__` is a key like any other. */
function celValue(json: unknown): CelInput {
  if (typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean') return json;
  if (typeof json !== 'object' || json === null) return null;
  if (Array.isArray(json)) return json.map(celValue);
  return new Map(Object.entries(json).map(([key, value]) => [key, celValue(value)]));
}
