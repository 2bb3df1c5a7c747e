import { z } from 'zod';
import { identifier, jsonObject } from '../input/fields.ts';
import { parseInput } from '../input/parseInput.ts';
import { SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { environments } from '../observe/observation.ts';
import type { PolicyApproval } from './approval.ts';
import { decideRequest } from './decideRequest.ts';
import type { DecisionServices } from './decideSubjects.ts';
import type { PolicyResult, Subject } from './decision.ts';
import { decisionRows, summarize } from './decisionRows.ts';
import type { Outcome } from './document.ts';
import { explain } from './explain.ts';
import { moneyInput } from './moneyInput.ts';

/** As long as a field of an event may be. */
const word = identifier.max(200);

const evaluateSchema = z.strictObject({
  environment: z.enum(environments),
  /** What is asked for: policies name it like an event. */
  name: z
    .string()
    .max(200)
    .regex(/^request(\.[a-z0-9_]+)+$/, 'must begin with request., as request.payout'),
  /** MoonPay's id of the customer. */
  customerId: word.optional(),
  externalCustomerId: word.optional(),
  /** MoonPay's id of the transaction; the entity, unless another one is given. */
  transactionId: word.optional(),
  entityType: z.string().min(1).max(100).optional(),
  entityId: word.optional(),
  fiat: moneyInput('fiat').optional(),
  crypto: moneyInput('crypto').optional(),
  wallet: z.strictObject({ address: word, network: word.optional() }).optional(),
  /** ISO 3166-1 alpha-3. */
  country: z
    .string()
    .regex(/^[A-Z]{3}$/, 'must be an ISO 3166-1 alpha-3 code, as GBR')
    .optional(),
  state: word.optional(),
  paymentMethod: word.optional(),
  cardId: word.optional(),
  /** Anything else that policies read as event.fields. */
  fields: jsonObject.pipe(z.record(z.string(), z.json())).optional(),
  /** What belongs to one matter has one; default: of the decision alone. */
  correlationId: identifier.optional(),
});
export type EvaluateInput = z.input<typeof evaluateSchema>;

export interface Evaluated {
  /** The id of its row in the policy log. */
  readonly decisionId: string;
  readonly correlationId: string;
  readonly outcome: Outcome;
  readonly policies: readonly PolicyResult[];
  /** What has to be approved first, by another person. */
  readonly approvals: readonly PolicyApproval[];
  /** Ids of the alerts that it raised or counted on. */
  readonly alerts: readonly string[];
  /** The decision in words. */
  readonly sentences: readonly string[];
}

/**
 * Asks the policies before something is done. What it returns is in the policy log; alerts and approvals are written with it.
 * @throws MoonguardError policy_evaluation_invalid
 */
export async function evaluateRequest(
  services: DecisionServices,
  input: EvaluateInput,
  { transaction, actor = SYSTEM_ACTOR }: WriteOptions = {},
): Promise<Evaluated> {
  const request = parseInput(evaluateSchema, input, 'policy_evaluation_invalid');
  const id = services.runtime.newId();
  const subject = subjectOf(request, id, actor);
  const { decided, alerts, approvals } = await decideRequest(subject, services, transaction);
  return {
    decisionId: decided.decisionId,
    correlationId: subject.correlationId,
    outcome: decided.decision.outcome,
    policies: decided.decision.policies,
    approvals,
    alerts: alerts.map((alert) => alert.alertId),
    sentences: explain(summarize(decided), decisionRows(decided)).sentences,
  };
}

function subjectOf(request: z.output<typeof evaluateSchema>, id: string, requestedBy: string): Subject {
  const { transactionId, entityType, entityId, correlationId = `req_${id}` } = request;
  const isAboutTransaction = entityId === undefined && transactionId !== undefined;
  return {
    event: {
      id,
      name: request.name,
      environment: request.environment,
      at: '',
      type: 'request',
      entity_type: isAboutTransaction ? 'transaction' : entityType,
      entity_id: isAboutTransaction ? transactionId : entityId,
      customer_id: request.customerId,
      external_customer_id: request.externalCustomerId,
      country: request.country,
      state: request.state,
      payment_method: request.paymentMethod,
      card_id: request.cardId,
      fiat: request.fiat,
      crypto: request.crypto,
      wallet: request.wallet,
      stages: [],
      failed_stages: [],
      failure_codes: [],
      fields: request.fields ?? {},
    },
    transactionId,
    correlationId,
    requestedBy,
  };
}
