import { z } from 'zod';
import { identifier, jsonObject, text } from '../input/fields.ts';
import { parseInput } from '../input/parseInput.ts';
import { type Environment, environments } from '../observe/observation.ts';
import { isSubscription } from '../receive/eventName.ts';
import { type DeliverySettings, deliverySettingsSchema } from './deliverySettings.ts';
import { checkEndpointHeaders } from './endpointHeaders.ts';
import { checkEndpointUrl, type EndpointUrlRules } from './endpointUrl.ts';
import { compileFilter } from './filter.ts';
import { type RetryPolicy, retryPolicySchema } from './retryPolicy.ts';

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

/** Settings are stored as initial_delay_ms; initialDelayMs and the older spellings are understood too. */
type Spelled<Settings> =
  | Readonly<Partial<Settings>>
  | { readonly [Name in keyof Settings & string as CamelCase<Name>]?: Settings[Name] };

/**
 * What can be changed of an endpoint. A field that is given replaces the stored one as a whole: what `retryPolicy` or
 * `deliverySettings` leave out gets its default.
 */
export interface WebhookChanges {
  /** https in production; without credentials; never a private address. */
  readonly url?: string | undefined;
  /** Dotted names, `transaction.*` or `*`; compliance and policy events by their full name only. */
  readonly events?: readonly string[] | undefined;
  readonly description?: string | null | undefined;
  readonly version?: string | null | undefined;
  readonly retryPolicy?: Spelled<RetryPolicy> | null | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  readonly deliverySettings?: Spelled<DeliverySettings> | null | undefined;
  readonly metadata?: Readonly<Record<string, unknown>> | undefined;
  /**
   * A CEL expression on `event` (id, name, type, environment, occurred_at, data): only events for which it is true are
   * sent; null: all. An event on which it fails, as on a field that is missing, is sent.
   */
  readonly filter?: string | null | undefined;
}

export interface CreateWebhookInput extends WebhookChanges {
  readonly url: string;
  readonly events: readonly string[];
  readonly environment: Environment;
  /** One that the receiver has already, 16 to 256 printable characters; default: a random one. */
  readonly secret?: string | undefined;
}

export type NewEndpoint = z.output<ReturnType<typeof newEndpointSchema>>;
export type EndpointChanges = z.output<ReturnType<typeof changesSchema>>;

/** @throws MoonguardError webhook_invalid with every problem */
export function parseNewEndpoint(
  input: unknown,
  { allowLoopback }: Pick<EndpointUrlRules, 'allowLoopback'>,
): NewEndpoint {
  // With an unknown environment, which is a problem of its own, the URL has to keep the rules that hold in both.
  const given = z.object({ environment: z.enum(environments) }).safeParse(input).data;
  const rules = { environment: given?.environment ?? 'sandbox', allowLoopback };
  return parseInput(newEndpointSchema(rules), input, 'webhook_invalid');
}

/** @throws MoonguardError webhook_invalid with every problem */
export function parseEndpointChanges(input: unknown, rules: EndpointUrlRules): EndpointChanges {
  return parseInput(changesSchema(rules), input, 'webhook_invalid');
}

function newEndpointSchema(rules: EndpointUrlRules) {
  return changesSchema(rules).extend({
    url: urlSchema(rules),
    events: events.prefault([]),
    environment: z.custom<Environment>((value) => environments.some((environment) => environment === value), {
      error: 'must be sandbox or production',
      params: { code: 'environment_unknown' },
    }),
    secret: z
      .string()
      .refine((secret) => /^[\x21-\x7e]{16,256}$/.test(secret), {
        error: 'must be 16 to 256 printable ASCII characters without white space',
        params: { code: 'secret_malformed' },
      })
      .optional(),
  });
}

function changesSchema(rules: EndpointUrlRules) {
  return z
    .strictObject({
      url: urlSchema(rules),
      events,
      description: text.nullable(),
      version: identifier.nullable(),
      retryPolicy,
      headers,
      deliverySettings,
      metadata: jsonObject,
      filter: filter.nullable(),
    })
    .partial();
}

function urlSchema(rules: EndpointUrlRules) {
  return z.string().transform((given, context) => {
    const checked = checkEndpointUrl(given, rules);
    if ('url' in checked) return checked.url;
    addProblem(context, checked.problem);
    return z.NEVER;
  });
}

const events = z.array(z.string()).superRefine((names, context) => {
  if (names.length === 0) {
    const message = 'name at least one event; "*" stands for all but compliance and policy events';
    addProblem(context, { code: 'events_empty', message });
  }
  for (const [place, name] of names.entries()) {
    if (isSubscription(name)) continue;
    const message = `${JSON.stringify(name)} is no event name (transaction.completed), no "transaction.*" and not "*"; compliance and policy events have no wildcard`;
    addProblem(context, { code: 'event_unknown_form', message }, [place]);
  }
});

const headers = z.custom<Readonly<Record<string, string>>>().superRefine((given, context) => {
  for (const problem of checkEndpointHeaders(given)) {
    addProblem(context, problem, problem.field.split('.').slice(1));
  }
});

const retryPolicy = z.unknown().transform((given, context): RetryPolicy => {
  const parsed = retryPolicySchema.safeParse(given);
  if (parsed.success) return parsed.data;
  for (const issue of parsed.error.issues) {
    const isDelay = issue.path[0] === 'initial_delay_ms' || issue.path[0] === 'max_delay_ms';
    const problem =
      issue.code === 'too_small' && isDelay
        ? { code: 'retry_delay_negative', message: 'must be 0 ms or more' }
        : { code: 'retry_policy_invalid', message: issue.message };
    addProblem(context, problem, issue.path);
  }
  return z.NEVER;
});

const deliverySettings = z.unknown().transform((given, context): DeliverySettings => {
  const parsed = deliverySettingsSchema.safeParse(given);
  if (parsed.success) return parsed.data;
  for (const { path, message } of parsed.error.issues) {
    addProblem(context, { code: 'delivery_settings_invalid', message }, path);
  }
  return z.NEVER;
});

const filter = z.string().superRefine((source, context) => {
  const compiled = compileFilter(source);
  if (!('problems' in compiled)) return;
  for (const { line, column, message } of compiled.problems) {
    addProblem(context, { code: 'filter_invalid', message: `line ${line}, column ${column}: ${message}` });
  }
});

function addProblem(
  context: z.core.$RefinementCtx,
  { code, message }: { readonly code: string; readonly message: string },
  path: readonly PropertyKey[] = [],
): void {
  context.addIssue({ code: 'custom', message, path: [...path], params: { code } });
}
