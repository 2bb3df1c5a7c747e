import { MoonguardError } from '../errors.ts';

/** What was found, or webhook_not_found. */
export function known<T>(found: T | undefined, webhookId: string): T {
  if (found === undefined) throw unknownWebhook(webhookId);
  return found;
}

export function unknownWebhook(webhookId: string): MoonguardError {
  return new MoonguardError('webhook_not_found', `There is no endpoint ${JSON.stringify(webhookId)}.`);
}

export function unknownDelivery(deliveryId: string): MoonguardError {
  return new MoonguardError('delivery_not_found', `There is no delivery ${JSON.stringify(deliveryId)}.`);
}

export function unknownReplay(replayId: string): MoonguardError {
  return new MoonguardError('replay_not_found', `There is no replay ${JSON.stringify(replayId)}.`);
}

export function conflict(message: string): MoonguardError {
  return new MoonguardError('webhook_status_conflict', message);
}

/** @param what is inactive, failed or deleted: the beginning of a sentence */
export function stopped(what: string): MoonguardError {
  return conflict(`${what}: nothing is sent to it until it is resumed.`);
}
