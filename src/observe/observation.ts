import type { ErrorCode } from '../errors.ts';

export type Environment = 'sandbox' | 'production';

/**
 * Everything Moonguard reports while it runs. Sinks turn a member into a log line, a metric or a span; tests wait on
 * them. No member carries a secret, a payload or anything about an alert's subject.
 */
export type Observation =
  | { type: 'event.received'; environment: Environment; eventId: string; eventName: string; deliveries: number }
  | { type: 'event.duplicate'; environment: Environment; eventId: string; bodyDiffers: boolean }
  | { type: 'event.refused'; environment: Environment | undefined; code: ErrorCode }
  | { type: 'event.late'; eventId: string; eventName: string }
  | { type: 'event.projection_failed'; eventId: string; reason: string }
  | { type: 'database.listen_lost'; channel: string; reason: string }
  | { type: 'database.listen_restored'; channel: string };

export type Observe = (observation: Observation) => void;
