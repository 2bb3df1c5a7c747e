import type { Environment } from '../observe/observation.ts';
import type { EventInput, IdentityInput, Money, StageInput, WalletInput } from './inputs.ts';
import { moneyOf } from './money.ts';
import { isObject, listOf, type PayloadObject, parsePayload, word, words } from './payloadText.ts';

/** A stored event, as far as policies read it. */
export interface StoredEvent {
  readonly id: string;
  readonly environment: Environment;
  readonly event_name: string;
  readonly event_type: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly at: Date;
  /** `event_data::text`: the driver's own reading of jsonb loses digits. null: the body was no JSON. */
  readonly json: string | null;
}

type Reasons = Record<string, string>;

/** Never throws: what the payload says in an odd way it does not say; `absent` gives the reasons, by the path of the field. */
export function eventInputOf(stored: StoredEvent): {
  readonly event: EventInput;
  readonly absent: Readonly<Reasons>;
} {
  const root = parsePayload(stored.json);
  // Identity checks come without their envelope too.
  const data = isObject(root['data']) ? root['data'] : root;
  const absent: Reasons = {};
  const amounts = amountsOf(stored.event_name, data, absent);
  const stages = listOf(data['stages']).filter(isObject).map(stageOf);
  const failureCodes = words([data['failureReason']])
    .map(failureCode)
    .concat(words(stages.map((stage) => stage.failure_code)));
  const event: EventInput = {
    id: stored.id,
    name: stored.event_name,
    environment: stored.environment,
    at: stored.at.toISOString(),
    type: stored.event_type,
    entity_type: stored.entity_type ?? undefined,
    entity_id: stored.entity_id ?? undefined,
    customer_id: word(data['customerId']),
    external_customer_id: word(data['externalCustomerId']) ?? word(root['externalCustomerId']),
    country: word(data['country']),
    state: word(data['state']),
    payment_method: word(data['paymentMethod']) ?? word(data['payoutMethod']),
    card_id: word(data['cardId']),
    card_type: word(data['cardType']),
    status: word(data['status']),
    ...amounts,
    wallet: walletOf(stored.event_name, data),
    stages,
    failed_stages: words(stages.filter(({ status }) => status === 'failed').map(({ stage }) => stage)),
    failure_codes: failureCodes,
    failure_code: failureCodes[0],
    identity: stored.event_name.startsWith('customer.kyc_') ? identityOf(data) : undefined,
    fields: {},
  };
  return { event, absent };
}

/** A purchase goes from fiat (base) to crypto (`currency`), a sale from crypto (base) to fiat (quote), a swap from crypto (base). */
function amountsOf(
  name: string,
  data: PayloadObject,
  absent: Reasons,
): { readonly fiat: Money | undefined; readonly crypto: Money | undefined; readonly fee: Money | undefined } {
  const read = (field: string, kind: 'fiat' | 'crypto', currency: unknown, amount: unknown): Money | undefined =>
    readMoney({ path: `event.${field}`, kind, currency, amount }, absent);
  const base = [data['baseCurrency'], data['baseCurrencyAmount']] as const;
  if (name.startsWith('swap.')) return { fiat: undefined, crypto: read('crypto', 'crypto', ...base), fee: undefined };
  const isSale = name.startsWith('sell_');
  const fiatCurrency = isSale ? data['quoteCurrency'] : data['baseCurrency'];
  return {
    fiat: isSale ? read('fiat', 'fiat', fiatCurrency, data['quoteCurrencyAmount']) : read('fiat', 'fiat', ...base),
    crypto: isSale
      ? read('crypto', 'crypto', ...base)
      : read('crypto', 'crypto', data['currency'], data['quoteCurrencyAmount']),
    fee: read('fee', 'fiat', fiatCurrency, data['feeAmount']),
  };
}

interface PayloadMoney {
  readonly path: string;
  readonly kind: 'fiat' | 'crypto';
  /** An object with a code; in requotes the code itself. */
  readonly currency: unknown;
  readonly amount: unknown;
}

function readMoney({ path, kind, currency, amount }: PayloadMoney, absent: Reasons): Money | undefined {
  const code = isObject(currency) ? word(currency['code']) : word(currency);
  const digits = word(amount);
  if (code === undefined || digits === undefined) {
    if (amount !== undefined && amount !== null) absent[path] = 'the amount or its currency cannot be read';
    return undefined;
  }
  const decimals = isObject(currency) ? word(currency['decimals']) : undefined;
  const { money, absent: parts } = moneyOf({
    currency: code,
    amount: digits,
    kind,
    decimals: decimals === undefined ? undefined : Number(decimals),
  });
  for (const [part, reason] of Object.entries(parts)) absent[part === '' ? path : `${path}.${part}`] = reason;
  return money;
}

function walletOf(name: string, data: PayloadObject): WalletInput | undefined {
  const address = word(data['walletAddress']) ?? word(data['refundWalletAddress']);
  if (address === undefined) return undefined;
  const currency = name.startsWith('sell_') ? data['baseCurrency'] : data['currency'];
  const metadata = isObject(currency) && isObject(currency['metadata']) ? currency['metadata'] : {};
  return { address, network: word(metadata['networkCode']), tag: word(data['walletAddressTag']) };
}

function stageOf(stage: PayloadObject): StageInput {
  const reason = word(stage['failureReason']);
  return {
    stage: word(stage['stage']),
    status: word(stage['status']),
    failure_code: reason === undefined ? undefined : failureCode(reason),
  };
}

function identityOf(data: PayloadObject): IdentityInput {
  return {
    check_id: word(data['id']),
    level: word(data['level']),
    result: word(data['result']),
    reject_type: word(data['rejectType']),
    reject_labels: words(listOf(data['rejectLabels'])),
    escalation_reasons: words(listOf(data['escalationReasons'])),
  };
}

/** At the top level the reason is a sentence, or a code in another order of words. */
function failureCode(reason: string): string {
  const code = reason.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_');
  return code === 'kyc_rejected' ? 'rejected_kyc' : code;
}
