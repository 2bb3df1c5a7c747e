import { createHash } from 'node:crypto';
import type { Environment } from '../observe/observation.ts';

/** Longest part, in UTF-16 units: three of them stay well below PostgreSQL's limit of 2,704 bytes for an index entry. */
const LONGEST_PART = 200;

/**
 * The text that is equal for two deliveries of one event: type, `data.id` and `data.updatedAt`, for MoonPay sends neither
 * an event id nor a delivery id. Where one of them is missing, or could be read as two, the hash of the raw body stands in.
 */
export function dedupeKey(event: {
  readonly environment: Environment;
  readonly type: string;
  readonly id: string | undefined;
  readonly updatedAt: string | undefined;
  readonly rawBody: Uint8Array;
}): string {
  const { environment, type, id, updatedAt, rawBody } = event;
  if (isPart(type) && isPart(id) && isPart(updatedAt) && !type.includes(':') && !id.includes(':')) {
    return `${environment}:${type}:${id}:${updatedAt}`;
  }
  return `${environment}:sha256:${createHash('sha256').update(rawBody).digest('hex')}`;
}

function isPart(text: string | undefined): text is string {
  return text !== undefined && text !== '' && text.length <= LONGEST_PART;
}
