import { z } from 'zod';
import type { Page } from '../input/page.ts';
import { environments } from '../observe/observation.ts';
import { deliveryStatuses } from './delivery.ts';
import { endpointStatuses } from './endpoint.ts';

export const pageFields = {
  /** Rows a page, at most 200; default 50. */
  limit: z.int().min(1).max(200).default(50),
  /** `nextCursor` of the page before. */
  cursor: z.guid({ error: 'must be the nextCursor of an earlier page' }).optional(),
};

export const webhookFilterSchema = z.strictObject({
  environment: z.enum(environments).optional(),
  status: z.enum(endpointStatuses).optional(),
  includeDeleted: z.boolean().default(false),
  ...pageFields,
});
export type WebhookFilter = z.input<typeof webhookFilterSchema>;

export const endpointChangePageSchema = z.strictObject(pageFields);
export type EndpointChangePage = z.input<typeof endpointChangePageSchema>;

export const undeliveredFilterSchema = z.strictObject({
  /** Id or webhook_id of an endpoint, deleted or not. */
  webhookId: z.string().optional(),
  eventId: z.guid().optional(),
  ...pageFields,
});
export type UndeliveredFilter = z.input<typeof undeliveredFilterSchema>;

export const deliveryFilterSchema = undeliveredFilterSchema.extend({ status: z.enum(deliveryStatuses).optional() });
export type DeliveryFilter = z.input<typeof deliveryFilterSchema>;

export const overlapSecondsSchema = z.strictObject({
  /** How long the previous secret stays valid, at most 30 days; default: a day. */
  overlapSeconds: z
    .int()
    .min(0)
    .max(30 * 24 * 60 * 60)
    .optional(),
});

/** A list that is sorted by ids. @param rows one more than the page shows, when there are more */
export function pageById<Item extends { readonly id: string }>(rows: readonly Item[], limit: number): Page<Item> {
  const items = rows.slice(0, limit);
  return { items, nextCursor: rows.length > limit ? items.at(-1)?.id : undefined };
}
