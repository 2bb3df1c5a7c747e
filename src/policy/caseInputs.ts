import { z } from 'zod';
import { parseInput } from '../input/parseInput.ts';
import { environments } from '../observe/observation.ts';
import type { CompiledPolicy } from './compilePolicy.ts';
import type { Aggregate, PolicyCase } from './document.ts';
import type { DecisionInputs } from './inputs.ts';
import { moneyInput } from './moneyInput.ts';

/** What a case leaves out. */
const SOME_TIME = '2026-01-01T00:00:00Z';

const word = z.string().max(500).optional();
const words = z.array(z.string().max(500)).default([]);
const time = z.iso.datetime({ offset: true });
const eventSchema = z.strictObject({
  id: z.string().default('a case'),
  name: z.string(),
  environment: z.enum(environments).optional(),
  at: time.optional(),
  type: z.string().default('request'),
  entity_type: word,
  entity_id: word,
  customer_id: word,
  external_customer_id: word,
  country: word,
  state: word,
  payment_method: word,
  card_id: word,
  card_type: word,
  status: word,
  fiat: moneyInput('fiat').optional(),
  crypto: moneyInput('crypto').optional(),
  fee: moneyInput('fiat').optional(),
  wallet: z.strictObject({ address: z.string(), network: word, tag: word }).optional(),
  stages: z.array(z.strictObject({ stage: word, status: word, failure_code: word })).default([]),
  failed_stages: words,
  failure_codes: words,
  identity: z
    .strictObject({
      check_id: word,
      level: word,
      result: word,
      reject_type: word,
      reject_labels: words,
      escalation_reasons: words,
    })
    .optional(),
  fields: z.record(z.string(), z.json()).default({}),
});

const customerSchema = z.strictObject({
  known: z.boolean().default(true),
  id: word,
  external_id: word,
  kyc_level: word,
  verification_status: word,
  kyc_result: word,
  kyc_reject_type: word,
  kyc_checked_level: z.int().optional(),
  kyc_updated_at: time.optional(),
  created_at: time.optional(),
});

const transactionSchema = z.strictObject({
  known: z.boolean().default(true),
  id: word,
  external_id: word,
  type: word,
  status: word,
  country: word,
  payment_method: word,
  fiat: moneyInput('fiat').optional(),
  crypto: moneyInput('crypto').optional(),
  created_at: time.optional(),
  updated_at: time.optional(),
});

const caseSchema = z.object({
  event: eventSchema,
  customer: customerSchema.default({ known: false }),
  transaction: transactionSchema.default({ known: false }),
});

/**
 * What a policy decides on in one of its own cases. A case says what matters to it; the rest is as little as there can be.
 * @throws MoonguardError policy_invalid, where it says something that there is not
 */
export function caseInputs({ document, aggregates }: CompiledPolicy, given: PolicyCase): DecisionInputs {
  const { event, customer, transaction } = parseInput(caseSchema, given, 'policy_invalid');
  const now = given.now ?? document.effective?.from ?? SOME_TIME;
  const [failureCode] = event.failure_codes;
  return {
    policies: [],
    event: {
      ...event,
      environment: event.environment ?? document.applies_to.environments?.[0] ?? 'production',
      at: event.at ?? now,
      ...(failureCode !== undefined && { failure_code: failureCode }),
    },
    customer,
    transaction,
    aggregates: Object.fromEntries(
      aggregates.map(({ id, definition }) => [id, given.aggregates?.[definition.name] ?? ofNothing(definition)]),
    ),
    lists: {},
    waivers: [],
    now,
  };
}

/** What an aggregate comes to where there is nothing. */
function ofNothing({ function: how, of }: Aggregate): number | string | null {
  if (how === 'min' || how === 'max') return null;
  return how === 'sum' && of === 'crypto' ? '0' : 0;
}
