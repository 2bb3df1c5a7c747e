import { z } from 'zod';
import { alertTypes, severities } from '../compliance/alert.ts';
import { identifier, jsonObject, text } from '../input/fields.ts';
import { environments } from '../observe/observation.ts';
import { checkDocument } from './documentCheck.ts';
import { policyTypes } from './policyLog.ts';

/** What a policy says of an event: each is worse than the one before. */
export const outcomes = ['allow', 'review', 'approval_required', 'block'] as const;
export type Outcome = (typeof outcomes)[number];

export function worstOutcome(a: Outcome, b: Outcome): Outcome {
  return outcomes.indexOf(a) >= outcomes.indexOf(b) ? a : b;
}

/** Seconds in the units of a window or an expiry: `90s`, `15m`, `24h`, `7d`. */
const secondsOf: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };
const LONGEST_WINDOW_SECONDS = 400 * 86_400;

/** Seconds of `90s`, `15m`, `24h` or `7d`. */
export function durationSeconds(duration: string): number {
  return Number(duration.slice(0, -1)) * (secondsOf[duration.slice(-1)] ?? Number.NaN);
}

const name = z.string().regex(/^[a-z][a-z0-9_]{0,62}$/, 'must be lower case letters, digits and _');
const outcome = z.enum(outcomes);
const errorOutcome = z.enum(['review', 'block']);
const expression = z.string().min(1).max(4096);
const duration = z
  .string()
  .regex(/^[1-9][0-9]{0,8}[smhd]$/, 'must be a number and s, m, h or d, as 24h')
  .refine((value) => durationSeconds(value) <= LONGEST_WINDOW_SECONDS, 'at most 400d');
const eventName = z
  .string()
  .max(200)
  .regex(/^(\*|[a-z0-9_]+(\.[a-z0-9_]+)*(\.\*)?)$/, 'must be the name of an event, or as transaction.* or *');
const country = z.string().regex(/^[A-Z]{3}$/, 'must be an ISO 3166-1 alpha-3 code, as GBR');
const currency = z.string().regex(/^[A-Z0-9_]{1,30}$/, 'must be a currency in upper case, as EUR');
const words = z.array(identifier).min(1).max(200);
const time = z.iso.datetime({ offset: true });

const alertTemplate = z.strictObject({
  type: z.enum(alertTypes),
  severity: z.enum(severities),
  title: text.max(500).describe('May name values: `Check {event.identity.check_id} was refused`'),
  key: identifier
    .optional()
    .describe('Alerts of the same key are one; may name values. Default: policy, rule and entity'),
});
export type AlertTemplate = z.infer<typeof alertTemplate>;

const amountsOf = ['fiat', 'crypto'] as const;
const distinctOf = ['customer', 'wallet', 'card', 'country', 'payment_method', 'transaction'] as const;

const aggregate = z.strictObject({
  name,
  function: z.enum(['count', 'sum', 'min', 'max', 'distinct']),
  of: z
    .enum([...amountsOf, ...distinctOf])
    .optional()
    .describe('sum, min and max: of which amounts; distinct: of what'),
  currency: z
    .union([z.literal('event'), currency])
    .optional()
    .describe('Only amounts of this currency count; default `event`: that of the event'),
  per: z
    .enum(['transaction', 'event'])
    .optional()
    .describe('transaction, the default: each transaction counts once, by its newest event in the window'),
  key: z.union([z.enum(['customer', 'wallet', 'card', 'country']), z.strictObject({ field: identifier.max(100) })]),
  window: duration,
  current: z.enum(['include', 'exclude']).optional().describe('Default include'),
  where: z
    .strictObject({
      events: z.array(eventName).min(1).max(50).optional(),
      status: words.optional(),
      country: z.array(country).min(1).max(250).optional(),
      payment_method: words.optional(),
      currency: z.array(currency).min(1).max(200).optional(),
    })
    .optional(),
});
export type Aggregate = z.infer<typeof aggregate>;

const rule = z.strictObject({
  id: z.string().regex(/^[a-z][a-z0-9_]{0,99}$/, 'must be lower case letters, digits and _'),
  when: expression.describe('CEL that gives a bool'),
  outcome: outcome.optional().describe('Default review; not in mode score'),
  score: z.int().min(1).max(1000).optional().describe('In mode score alone, and there always'),
  alert: alertTemplate.optional(),
  on_error: errorOutcome.optional().describe('Default: that of the policy'),
  description: text.max(1000).optional().describe('In plain words, for the explanation; may name values'),
  approval: z.strictObject({ expires_in: duration.optional() }).optional(),
});
export type Rule = z.infer<typeof rule>;

const threshold = z.strictObject({
  at: z.int().min(1).max(1_000_000),
  outcome,
  alert: alertTemplate.optional(),
  description: text.max(1000).optional(),
});

const policyCase = z.strictObject({
  name: text.max(500),
  event: jsonObject,
  customer: jsonObject.optional(),
  transaction: jsonObject.optional(),
  aggregates: z.record(name, z.union([z.int(), z.string().max(200)])).optional(),
  lists: z.record(name, z.array(z.string().max(500)).max(1000)).optional(),
  now: time.optional(),
  expect: z.strictObject({
    outcome,
    hits: z.array(z.string()).optional(),
    errors: z.array(z.string()).optional(),
  }),
});
export type PolicyCase = z.infer<typeof policyCase>;

/** A policy as it is written, stored and hashed: nothing is filled in. */
export const policyDocumentSchema = z
  .strictObject({
    id: rule.shape.id,
    name: text.max(200),
    description: text.max(5000).optional(),
    type: z.enum(policyTypes),
    applies_to: z.strictObject({
      events: z.array(eventName).min(1).max(100).describe('Names of events, or `transaction.*`, or `*`'),
      environments: z.array(z.enum(environments)).min(1).max(2).optional().describe('Default both'),
      when: expression.optional().describe('CEL that gives a bool; where it errs the policy applies, and has an error'),
    }),
    jurisdictions: z
      .array(country)
      .min(1)
      .max(250)
      .optional()
      .describe('Events of other countries are not looked at; events without a country are'),
    effective: z
      .strictObject({ from: time.optional(), until: time.optional() })
      .optional()
      .describe('From this time on, and until before that one'),
    /** Of its rows in the policy log; default standard, 2555 days. */
    retention: z
      .strictObject({ class: identifier.optional(), days: z.int().min(1).max(365_000).optional() })
      .optional(),
    log: z
      .enum(['hits', 'every_rule'])
      .optional()
      .describe('What the policy log has of each decision beside its summary; default hits (and errors)'),
    lists: z.array(name).max(20).optional().describe('Names of the lists that the rules use'),
    aggregates: z.array(aggregate).max(20).optional(),
    /** Default any. */
    evaluation: z
      .discriminatedUnion('mode', [
        z.strictObject({ mode: z.enum(['any', 'all', 'first']) }),
        z.strictObject({ mode: z.literal('score'), thresholds: z.array(threshold).min(1).max(20) }),
      ])
      .optional(),
    on_error: errorOutcome.optional().describe('What an error counts as; default review'),
    rules: z.array(rule).min(1).max(200),
    tests: z.array(policyCase).max(500).optional(),
  })
  .superRefine(checkDocument);
export type PolicyDocument = z.infer<typeof policyDocumentSchema>;
