import type { CelInput } from '@bufbuild/cel';
import { timestampFromDate } from '@bufbuild/protobuf/wkt';
import type { Aggregate } from './document.ts';
import { absentValue, absentValues, type Bindings } from './expression.ts';
import { type ExpressionType, isRecord, type RecordType } from './expressionTypes.ts';
import type { DecisionInputs } from './inputs.ts';

const TIME = 'google.protobuf.Timestamp';

const money: RecordType = {
  fields: { currency: 'string', decimals: 'int', amount: 'string', minor: 'int' },
};
const texts: ExpressionType = { elements: 'string' };

/** What every policy can name; the fields are those of the inputs. */
const commonVariables = {
  event: {
    fields: {
      id: 'string',
      name: 'string',
      environment: 'string',
      at: TIME,
      type: 'string',
      entity_type: 'string',
      entity_id: 'string',
      customer_id: 'string',
      external_customer_id: 'string',
      country: 'string',
      state: 'string',
      payment_method: 'string',
      card_id: 'string',
      card_type: 'string',
      status: 'string',
      fiat: money,
      crypto: money,
      fee: money,
      wallet: { fields: { address: 'string', network: 'string', tag: 'string' } },
      stages: { elements: { fields: { stage: 'string', status: 'string', failure_code: 'string' } } },
      failed_stages: texts,
      failure_codes: texts,
      failure_code: 'string',
      identity: {
        fields: {
          check_id: 'string',
          level: 'string',
          result: 'string',
          reject_type: 'string',
          reject_labels: texts,
          escalation_reasons: texts,
        },
      },
      fields: 'map',
    },
  },
  customer: {
    fields: {
      known: 'bool',
      id: 'string',
      external_id: 'string',
      kyc_level: 'string',
      verification_status: 'string',
      kyc_result: 'string',
      kyc_reject_type: 'string',
      kyc_checked_level: 'int',
      kyc_updated_at: TIME,
      created_at: TIME,
    },
  },
  transaction: {
    fields: {
      known: 'bool',
      id: 'string',
      external_id: 'string',
      type: 'string',
      status: 'string',
      country: 'string',
      payment_method: 'string',
      fiat: money,
      crypto: money,
      created_at: TIME,
      updated_at: TIME,
    },
  },
  now: TIME,
} as const satisfies Readonly<Record<string, ExpressionType>>;

/** The names that are known before anything is read beside the event. */
export const eventVariables = { event: commonVariables.event, now: commonVariables.now };

/** The names that the rules of one policy may use. */
export function policyVariables(
  aggregates: readonly Aggregate[],
  lists: readonly string[],
): Readonly<Record<string, ExpressionType>> {
  return {
    ...commonVariables,
    aggregates: {
      fields: Object.fromEntries(aggregates.map((aggregate) => [aggregate.name, aggregateType(aggregate)])),
    },
    lists: { fields: Object.fromEntries(lists.map((list) => [list, 'named_list'])) },
  };
}

/** Fiat is counted in minor units; of crypto there are too many for an int. */
function aggregateType({ of }: Aggregate): 'int' | 'string' {
  return of === 'crypto' ? 'string' : 'int';
}

/** Under which name {@link bindInputsByPath} has the value of an aggregate. */
export function aggregatePath(id: string, aggregate: Aggregate): string {
  return `aggregates.${id}.${aggregateType(aggregate)}`;
}

const absent = absentValues(commonVariables);

/** The inputs by path, as expressions read them; made once for all policies of a decision. */
export function bindInputsByPath(inputs: DecisionInputs): Bindings {
  const values: Record<string, CelInput> = Object.create(absent);
  const { event, customer, transaction, now } = inputs;
  bindFields({ event, customer, transaction, now }, commonVariables, '', values);
  for (const [id, value] of Object.entries(inputs.aggregates)) {
    const path = `aggregates.${id}`;
    const isWhole = value !== null && /^-?\d+$/.test(String(value));
    values[`${path}.string`] = value === null ? absentValue(path, NOTHING) : String(value);
    values[`${path}.int`] = isWhole ? BigInt(value) : absentValue(path, value === null ? NOTHING : 'no whole number');
  }
  for (const [path, reason] of Object.entries(inputs.absent ?? {})) {
    if (!Object.hasOwn(values, path)) values[path] = absentValue(path, reason);
  }
  return values;
}
const NOTHING = 'there is nothing to take the least or most of';

function bindFields(
  record: object,
  fields: RecordType['fields'],
  prefix: string,
  values: Record<string, CelInput>,
): void {
  for (const [name, value] of Object.entries(record)) {
    const type = fields[name];
    if (value === undefined || type === undefined) continue;
    const path = prefix + name;
    if (isRecord(type)) {
      values[path] = true;
      bindFields(value, type.fields, `${path}.`, values);
    } else {
      values[path] = celValue(value, type);
    }
  }
}

/** JSON as CEL has it: whole numbers are ints, objects Maps, in which a key such as `__proto__` is one like any other. */
function celValue(json: unknown, type: ExpressionType = 'dyn'): CelInput {
  if (type === TIME) return timestampFromDate(new Date(String(json)));
  if (type === 'int' || Number.isSafeInteger(json)) return BigInt(String(json));
  if (typeof json === 'string' || typeof json === 'number' || typeof json === 'boolean') return json;
  if (typeof json !== 'object' || json === null) return null;
  if (Array.isArray(json)) return json.map((element) => celValue(element));
  const known = Object.entries(json).filter(([, value]) => value !== undefined);
  return new Map(known.map(([key, value]) => [key, celValue(value)]));
}
