import { z } from 'zod';
import { oneOrMore } from '../input/fields.ts';
import { isSubscription } from '../receive/eventName.ts';
import type { DeliveryStatus } from './delivery.ts';
import { pageFields } from './listFilters.ts';

/** `completed`: all of its deliveries were tried. */
export const replayStatuses = ['running', 'completed', 'cancelled'] as const;
export type ReplayStatus = (typeof replayStatuses)[number];

/** What may be sent again: everything but what is to be sent anyway. */
export const replayableStatuses = ['exhausted', 'held', 'delivered', 'filtered'] as const satisfies DeliveryStatus[];
export type ReplayableStatus = (typeof replayableStatuses)[number];

export const replayRequestSchema = z
  .strictObject({
    /** Only to this endpoint: its id or webhook_id. */
    webhookId: z.string().optional(),
    /** Only of these statuses; default: what was never delivered, exhausted and held. */
    status: oneOrMore(replayableStatuses).transform(
      (given): readonly ReplayableStatus[] => given ?? ['exhausted', 'held'],
    ),
    /** Only of these events: names, `transaction.*` or `*`. */
    events: z
      .array(
        z.string().refine(isSubscription, {
          error: 'must be an event name such as transaction.completed, "transaction.*" or "*"',
        }),
      )
      .min(1)
      .transform((events) => (events.includes('*') ? undefined : events))
      .optional(),
    /** Only those made at this time or later. */
    since: z.date().optional(),
    /** Only those made before this time. */
    until: z.date().optional(),
    /** At most so many a second, whatever the endpoints would take; default: no bound but theirs. */
    ratePerSecond: z.number().positive().max(10_000).optional(),
  })
  .refine(({ since, until }) => since === undefined || until === undefined || since < until, {
    path: ['until'],
    error: 'must be later than since',
  });
export type ReplayRequest = z.input<typeof replayRequestSchema>;

export const replayPageSchema = z.strictObject(pageFields);
export type ReplayPage = z.input<typeof replayPageSchema>;

/** Deliveries that somebody wants sent again, and how far that is. */
export interface Replay {
  readonly id: string;
  /** Null: to any endpoint. */
  readonly webhookId: string | null;
  readonly statuses: readonly ReplayableStatus[];
  /** Null: of any event. */
  readonly events: readonly string[] | null;
  readonly since: Date | null;
  readonly until: Date | null;
  readonly ratePerSecond: number | null;
  readonly status: ReplayStatus;
  /** Deliveries it was about when it began. One whose status somebody changes before its turn is left out. */
  readonly totalCount: number;
  /** Handed to the workers so far. */
  readonly releasedCount: number;
  /** Left as they were because their endpoint was stopped or deleted. */
  readonly skippedCount: number;
  /** Of the released: not tried yet. */
  readonly waitingCount: number;
  /** Of the released: delivered. Once the replay has ended, this and the next two are as they were then. */
  readonly deliveredCount: number;
  /** Of the released: kept back by the endpoint's filter. */
  readonly filteredCount: number;
  /** Of the released: tried in vain, or put back because the endpoint stopped. */
  readonly failedCount: number;
  /** If it goes on as it went so far; null before anything was tried and after the end. */
  readonly estimatedEndAt: Date | null;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  readonly cancelledBy: string | null;
}
