import type { Db } from '../database/database.ts';
import { type DeliveryStatistics, type EndpointWindow, type TrendBucket, trendOf } from './statistics.ts';
import { attemptStatistics } from './store/attemptStatistics.ts';
import { attemptTrend } from './store/attemptTrend.ts';
import { countDeliveries } from './store/countDeliveries.ts';

/** Everything there is to say of a window; with a bucket, of the window that the trend covers. */
export async function deliveryStatistics(
  db: Db,
  { bucket, ...window }: EndpointWindow & { readonly bucket?: TrendBucket | undefined },
  nowMs: number,
): Promise<DeliveryStatistics> {
  const trend = bucket && trendOf(bucket, window, nowMs);
  const wanted = { ...window, since: trend?.since ?? window.since };
  return {
    deliveries: await countDeliveries(db, wanted),
    ...(await attemptStatistics(db, wanted)),
    trend: trend === undefined ? [] : await attemptTrend(db, wanted, trend),
  };
}
