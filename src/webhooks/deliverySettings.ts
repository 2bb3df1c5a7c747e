import { z } from 'zod';
import { acceptOlderSpellings, type OlderSpelling } from './olderSpellings.ts';

/** In ms. */
export const longestTimeoutMs = 60_000;

const canonicalDeliverySettings = z.strictObject({
  /** Whether the certificate of an https endpoint must be trusted, in date and made out to its host. */
  verify_ssl: z.boolean().default(true),
  /** Limit of the whole exchange (name lookup, connection, request, response), in ms. */
  timeout_ms: z
    .int()
    .min(100)
    .max(longestTimeoutMs, 'timeout_ms is at most 60000 (the older spelling timeout counts in seconds)')
    .default(15_000),
  /** Requests a second that the endpoint gets at most; may be a fraction; null: no limit. */
  rate_limit_per_second: z.number().positive().max(10_000).nullable().default(null),
  /** `entity`: the events of one transaction or customer go out in order, one at a time. */
  ordering: z.enum(['none', 'entity']).default('none'),
  /** `provider`: MoonPay's bytes unchanged; `envelope`: wrapped with our id, type, environment and time. */
  payload: z.enum(['provider', 'envelope']).default('provider'),
});

const olderSpellings = new Map<string, OlderSpelling>([
  // Seconds, as hand-made versions of the table had it; a float like 0.3 s must not become 300.00000000000006 ms.
  [
    'timeout',
    { field: 'timeout_ms', convert: (seconds) => (typeof seconds === 'number' ? Math.round(seconds * 1000) : seconds) },
  ],
  ['ssl_verification', { field: 'verify_ssl' }],
]);

/**
 * How deliveries to one endpoint are sent. Accepts partial settings, camelCase and the older spellings `timeout` (in
 * seconds) and `ssl_verification`.
 */
export const deliverySettingsSchema = acceptOlderSpellings(canonicalDeliverySettings, olderSpellings);

export type DeliverySettings = Readonly<z.output<typeof deliverySettingsSchema>>;
