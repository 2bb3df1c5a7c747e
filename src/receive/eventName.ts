/** What an event is about; `other` is a type whose payload we do not know. */
export type EventKind = 'buy' | 'sell' | 'swap' | 'identity' | 'other';

export interface EventNaming {
  readonly kind: EventKind;
  /** Our dotted name, the one that endpoints subscribe to. */
  readonly name: string;
  /** Whether the provider's type is one that MoonPay documents; the others are stored and delivered, nothing more. */
  readonly isHandled: boolean;
}

type NamingRow = readonly [kind: EventKind, type: string, status: string, result: string, name: string];

/**
 * MoonPay's type, `data.status` and `data.result` (`*` is any, also none) and our name; the first row that fits decides.
 * A type that says how it ended outweighs the status: MoonPay's documentation prints `transaction_failed` with `completed`.
 */
const namingTable: readonly NamingRow[] = [
  ['buy', 'transaction_failed', '*', '*', 'transaction.failed'],
  ['buy', 'transaction_created', 'completed', '*', 'transaction.completed'],
  ['buy', 'transaction_created', 'failed', '*', 'transaction.failed'],
  ['buy', 'transaction_created', '*', '*', 'transaction.created'],
  ['buy', 'transaction_updated', 'completed', '*', 'transaction.completed'],
  ['buy', 'transaction_updated', 'failed', '*', 'transaction.failed'],
  ['buy', 'transaction_updated', '*', '*', 'transaction.updated'],

  ['sell', 'sell_transaction_failed', '*', '*', 'sell_transaction.failed'],
  ['sell', 'sell_transaction_requote_required', '*', '*', 'sell_transaction.requote_required'],
  ['sell', 'sell_transaction_created', 'completed', '*', 'sell_transaction.completed'],
  ['sell', 'sell_transaction_created', 'failed', '*', 'sell_transaction.failed'],
  ['sell', 'sell_transaction_created', 'requoteRequired', '*', 'sell_transaction.requote_required'],
  ['sell', 'sell_transaction_created', '*', '*', 'sell_transaction.created'],
  ['sell', 'sell_transaction_updated', 'completed', '*', 'sell_transaction.completed'],
  ['sell', 'sell_transaction_updated', 'failed', '*', 'sell_transaction.failed'],
  ['sell', 'sell_transaction_updated', 'requoteRequired', '*', 'sell_transaction.requote_required'],
  ['sell', 'sell_transaction_updated', '*', '*', 'sell_transaction.updated'],

  ['swap', 'swap_transaction_created', '*', '*', 'swap.created'],
  ['swap', 'swap_transaction_completed', '*', '*', 'swap.completed'],
  ['swap', 'swap_transaction_failed', '*', '*', 'swap.failed'],
  ['swap', 'swap_quote_expired', '*', '*', 'swap.quote_expired'],
  ['swap', 'swap_quote_invalid', '*', '*', 'swap.quote_invalid'],
  ['swap', 'swap_deposit_wallet_created', '*', '*', 'swap.deposit_wallet_created'],
  ['swap', 'swap_deposit_received', '*', '*', 'swap.deposit_received'],
  ['swap', 'swap_asset_delivery_initiated', '*', '*', 'swap.asset_delivery_initiated'],
  ['swap', 'swap_refund_asset_delivery_initiated', '*', '*', 'swap.refund_asset_delivery_initiated'],
  ['swap', 'swap_refund_completed', '*', '*', 'swap.refund_completed'],

  ['identity', 'identity_check_updated', '*', 'rejected', 'customer.kyc_rejected'],
  ['identity', 'identity_check_updated', 'completed', 'clear', 'customer.kyc_completed'],
  ['identity', 'identity_check_updated', '*', '*', 'customer.kyc_updated'],
];

const rowsByType = Map.groupBy(namingTable, ([, type]) => type);

/**
 * Names an event of MoonPay. White space around the values is ignored: public integrations have met enum values with a
 * trailing space.
 */
export function nameEvent(event: {
  readonly type: string;
  readonly status: string | undefined;
  readonly result: string | undefined;
}): EventNaming {
  const type = event.type.trim();
  const row = rowsByType
    .get(type)
    ?.find(([, , status, result]) => fits(status, event.status) && fits(result, event.result));
  if (row !== undefined) return { kind: row[0], name: row[4], isHandled: true };
  if (/^swap_./.test(type)) return { kind: 'swap', name: `swap.${segment(type.slice(5))}`, isHandled: false };
  return { kind: 'other', name: `moonpay.${type === '' ? 'unknown' : segment(type)}`, isHandled: false };
}

function fits(pattern: string, value: string | undefined): boolean {
  return pattern === '*' || pattern === value?.trim();
}

/** Any text as the second segment of an event name. */
function segment(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9_]/g, '_')
    .slice(0, 100);
}

/** First segments that no wildcard matches: whoever wants these events must name them, so that nobody is tipped off. */
const exactOnly: ReadonlySet<string> = new Set(['compliance', 'policy']);

/** Every entry of an endpoint's `events` that subscribes it to the event of this name. */
export function subscriptionPatterns(name: string): string[] {
  const first = firstSegment(name);
  return exactOnly.has(first) ? [name] : [name, `${first}.*`, '*'];
}

/** Whether the text may stand in an endpoint's `events`: `*`, `segment.*` or a name. */
export function isSubscription(text: string): boolean {
  if (!/^(?:\*|[a-z0-9_]+\.(?:\*|[a-z0-9_]+(?:\.[a-z0-9_]+)*))$/.test(text)) return false;
  return !(text.endsWith('.*') && exactOnly.has(firstSegment(text)));
}

function firstSegment(name: string): string {
  return name.split('.', 1).join();
}
