import { z } from 'zod';
import { inputError } from '../input/parseInput.ts';

/** Of each bucket in seconds: how long it is, and how far back a trend goes when nobody says since when. */
const bucketSeconds = {
  minute: { length: 60, window: 60 * 60 },
  hour: { length: 60 * 60, window: 24 * 60 * 60 },
  day: { length: 24 * 60 * 60, window: 30 * 24 * 60 * 60 },
} as const;

export const trendBuckets = ['minute', 'hour', 'day'] as const satisfies readonly (keyof typeof bucketSeconds)[];
export type TrendBucket = (typeof trendBuckets)[number];

const MOST_BUCKETS = 1_500;

export const statisticsWindowSchema = z.strictObject({
  /** Id or webhook_id of an endpoint; default: all that were not deleted. */
  webhookId: z.string().optional(),
  /** Attempts that began, and deliveries that were made, at this time or later. With a bucket, default: an hour, a day or 30 days ago. */
  since: z.date().optional(),
  /** Those before this time. */
  until: z.date().optional(),
  /** Cuts the window into a trend, in UTC; at most 1500 buckets. */
  bucket: z.enum(trendBuckets).optional(),
});
export type StatisticsWindow = z.input<typeof statisticsWindowSchema>;

/** How delivering goes. Attempts that retention has removed are not counted; the counters of an endpoint go on counting them. */
export interface DeliveryStatistics extends AttemptStatistics {
  readonly deliveries: DeliveryCounts;
  /** Of every bucket of the window, also those without attempts; empty without a bucket. */
  readonly trend: readonly TrendPoint[];
}

export interface AttemptStatistics {
  /** Requests made. */
  readonly attempts: number;
  /** Those that were answered with 2xx. */
  readonly delivered: number;
  readonly failed: number;
  /** In percent, with two digits; null without attempts. */
  readonly successRate: number | null;
  /** How long requests took, in ms; null without attempts. */
  readonly durationMs: { readonly p50: number | null; readonly p95: number | null; readonly p99: number | null };
  /** Failed attempts by their class, such as timeout or http_5xx. */
  readonly byErrorClass: Readonly<Record<string, number>>;
}

/** Deliveries that were made in the window, by what they are now. */
export interface DeliveryCounts {
  readonly made: number;
  readonly pending: number;
  readonly delivered: number;
  readonly held: number;
  readonly exhausted: number;
  /** The endpoint's filter did not want them: neither sent nor failed. */
  readonly filtered: number;
}

export interface TrendPoint {
  /** When the bucket begins. */
  readonly at: Date;
  readonly attempts: number;
  readonly delivered: number;
  readonly failed: number;
  /** In ms; null without attempts. */
  readonly p95: number | null;
}

/** A window as it is asked of the database. */
export interface EndpointWindow {
  /** Without it: every endpoint that was not deleted. */
  readonly endpointId?: string | undefined;
  readonly since?: Date | undefined;
  readonly until?: Date | undefined;
}

export interface Trend {
  readonly bucket: TrendBucket;
  readonly bucketSeconds: number;
  readonly since: Date;
  readonly until: Date;
}

/** @throws MoonguardError request_invalid when there are more buckets than anybody can look at */
export function trendOf(
  bucket: TrendBucket,
  { since, until }: Pick<EndpointWindow, 'since' | 'until'>,
  nowMs: number,
): Trend {
  const { length, window } = bucketSeconds[bucket];
  const untilMs = until?.getTime() ?? nowMs;
  const sinceMs = since?.getTime() ?? untilMs - window * 1000;
  if (untilMs - sinceMs > MOST_BUCKETS * length * 1000) {
    const message = `the window has more than ${MOST_BUCKETS} of them`;
    throw inputError('request_invalid', [{ code: 'too_many_buckets', field: 'bucket', message }]);
  }
  return { bucket, bucketSeconds: length, since: new Date(sinceMs), until: new Date(untilMs) };
}
