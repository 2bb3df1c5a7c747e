import type { JsonObject } from '../database/schema.generated.ts';
import type { ErrorCode } from '../errors.ts';
import type { JobStatus } from '../jobs/job.ts';

export const environments = ['sandbox', 'production'] as const;
export type Environment = (typeof environments)[number];

/**
 * Everything Moonguard reports while it runs. Sinks turn a member into a log line, a metric or a span; tests wait on
 * them. No member carries a secret, a payload or anything about an alert's subject.
 */
export type Observation =
  | { type: 'event.received'; environment: Environment; eventId: string; eventName: string; deliveries: number }
  | { type: 'event.duplicate'; environment: Environment; eventId: string; bodyDiffers: boolean }
  /** `times`: how many it stands for in the log; elsewhere each is reported. */
  | { type: 'event.refused'; environment: Environment; code: ErrorCode; reason: string; times?: number }
  | { type: 'event.late'; eventId: string; eventName: string }
  | { type: 'event.projection_failed'; eventId: string; reason: string }
  | { type: 'event.decided'; eventId: string; hits: number }
  | { type: 'event.decide_failed'; eventId: string; reason: string }
  /** After the last attempt: it stays undecided. */
  | { type: 'event.set_aside'; eventId: string; reason: string }
  | { type: 'decide.failed'; reason: string }
  | { type: 'delivery.delivered'; deliveryId: string; endpointId: string; durationMs: number }
  | { type: 'delivery.failed'; deliveryId: string; endpointId: string; errorClass: string; nextAttemptInMs: number }
  | { type: 'delivery.exhausted'; deliveryId: string; endpointId: string; errorClass: string }
  | { type: 'delivery.filtered'; deliveryId: string; endpointId: string }
  | { type: 'delivery.filter_failed'; deliveryId: string; endpointId: string; reason: string }
  | { type: 'delivery.resend_failed'; deliveryId: string; endpointId: string; errorClass: string }
  | { type: 'endpoint.not_ready'; endpointId: string; reason: string }
  | { type: 'endpoint.status_changed'; endpointId: string; status: string; reason: string }
  | { type: 'delivery.held'; deliveryId: string; endpointId: string; errorClass: string }
  | { type: 'delivery.not_attempted'; deliveryId: string; reason: string }
  | { type: 'delivery.lease_lost'; deliveryId: string }
  | { type: 'delivery.claimed'; endpointId: string; deliveries: number }
  | { type: 'delivery.claim_failed'; reason: string }
  /** A batch of results was written; each is reported by itself too. */
  | { type: 'delivery.settled'; deliveries: number }
  | { type: 'delivery.settle_failed'; deliveries: number; reason: string }
  | { type: 'replay.released'; replayId: string; endpointId: string; deliveries: number }
  | { type: 'replay.completed'; replayId: string }
  | { type: 'replay.release_failed'; reason: string }
  | { type: 'backtest.progressed' | 'backtest.completed'; backtestId: string; events: number }
  | { type: 'backtest.failed'; backtestId: string; reason: string }
  | { type: 'backtest.interrupted'; reason: string }
  | { type: 'request.failed'; method: string; path: string; reason: string }
  | {
      type: 'retention.ran';
      status: 'finished' | 'interrupted';
      events: number;
      deliveries: number;
      attempts: number;
      bodies: number;
    }
  | { type: 'job.ran'; job: string; status: JobStatus; result: JsonObject }
  | { type: 'job.failed'; job: string; reason: string }
  /** It took longer than its lease, which could not be renewed: another process does it. */
  | { type: 'job.lease_lost'; job: string }
  | { type: 'jobs.claim_failed'; reason: string }
  /** Rows of the policy log were put into the tree and signed; the oldest had waited so long. */
  | { type: 'audit.sequenced'; leaves: number; size: number; waitedMs: number }
  /** Longer than whoever logs was promised. */
  | { type: 'audit.delayed'; waitedMs: number }
  | { type: 'audit.sequence_failed'; reason: string }
  /** A witness has cosigned a checkpoint. */
  | { type: 'audit.witnessed'; witness: string; size: number }
  /** It did not: it is away, or this log is not the one it remembers. */
  | { type: 'audit.witness_failed'; witness: string; reason: string }
  /** The folder of the log has a new checkpoint. */
  | { type: 'audit.published'; size: number }
  /** It has not: it cannot be written, or holds another log. */
  | { type: 'audit.publish_failed'; reason: string }
  /** This process has no key of the log: another one signs, or nobody. */
  | { type: 'audit.key_missing' }
  | { type: 'log_key.generated'; file: string }
  | { type: 'worker.ended'; processId: number | undefined; reason: string; restartInMs: number }
  | { type: 'master_key.generated'; file: string }
  | { type: 'database.listen_lost'; channel: string; reason: string }
  | { type: 'database.listen_restored'; channel: string };

export type Observe = (observation: Observation) => void;
