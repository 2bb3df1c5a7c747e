import { z } from 'zod';
import { MoonguardError } from '../errors.ts';
import { parseInput } from '../input/parseInput.ts';
import type { Alert } from './alert.ts';

/** What became of one alert of several. */
export type BulkResult =
  | { readonly alertId: string; readonly outcome: 'done'; readonly alert: Alert }
  | { readonly alertId: string; readonly outcome: 'refused'; readonly error: MoonguardError };

const bulkSchema = z.object({ alertIds: z.array(z.string()).min(1).max(500) });

/**
 * Does the same to up to 500 alerts, one after the other, each by itself: a refusal leaves the others done. The results
 * stand in the order of `alertIds`. A fault, such as a database that is away, ends it; what was done before stays.
 * @throws MoonguardError alert_invalid
 */
export async function bulk(
  alertIds: readonly string[],
  work: (alertId: string) => Promise<Alert>,
): Promise<BulkResult[]> {
  const results: BulkResult[] = [];
  for (const alertId of parseInput(bulkSchema, { alertIds }, 'alert_invalid').alertIds) {
    try {
      results.push({ alertId, outcome: 'done', alert: await work(alertId) });
    } catch (error) {
      if (!(error instanceof MoonguardError) || error.status >= 500) throw error;
      results.push({ alertId, outcome: 'refused', error });
    }
  }
  return results;
}
