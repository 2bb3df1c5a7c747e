import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from '@prometheus-io/client';
import type { AuditProgress } from '../audit/store/readProgress.ts';
import type { Observe } from './observation.ts';
import type { DeliveryQueue } from './store/readDeliveryQueue.ts';

/**
 * Counts what is observed, for Prometheus. Nothing here says whether an alert exists: decisions are counted without what
 * came of them, and no event, endpoint or customer is named.
 */
export interface Metrics {
  readonly observe: Observe;
  /** Everything counted, as Prometheus reads it. */
  read(): Promise<string>;
  /** The same as data, to be added to those of other processes. */
  snapshot(): Promise<object[]>;
}

/**
 * @param readQueue asked whenever somebody reads; without it there is nothing of the database in them
 * @param readAuditLog the same for the audit log
 */
export function createMetrics(
  readQueue?: () => Promise<DeliveryQueue>,
  readAuditLog?: () => Promise<AuditProgress>,
): Metrics {
  const registry = new Registry();
  const registers: Registry[] = [registry];
  const counter = <Label extends string>(name: string, help: string, ...labelNames: readonly Label[]): Counter<Label> =>
    new Counter({ name, help, labelNames, registers });

  const events = counter(
    'moonguard_events_total',
    'Webhooks of MoonPay, by what became of them.',
    'environment',
    'outcome',
  );
  const refused = counter('moonguard_events_refused_total', 'Webhooks refused, by error code.', 'environment', 'code');
  const decided = counter('moonguard_events_decided_total', 'Events that policies have been decided on.');
  const deliveries = counter(
    'moonguard_deliveries_total',
    'Results of deliveries; a retried one has several.',
    'outcome',
  );
  const failures = counter('moonguard_delivery_failures_total', 'Failed requests, by class.', 'error_class');
  const claims = counter('moonguard_claims_total', 'Batches of deliveries that were leased.');
  const claimed = counter('moonguard_claimed_deliveries_total', 'Deliveries that were leased.');
  const settlements = counter('moonguard_settlements_total', 'Batches of results that were written.');
  const settled = counter('moonguard_settled_deliveries_total', 'Results that were written.');
  const removed = counter('moonguard_retention_removed_total', 'Rows removed for their age.', 'kind');
  const troubles = counter('moonguard_troubles_total', 'What the log reports as failed.', 'type');
  const durations = new Histogram({
    name: 'moonguard_delivery_duration_seconds',
    help: 'How long requests took that delivered.',
    buckets: [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    registers,
  });
  collectDefaultMetrics({ register: registry });
  const refreshQueue = readQueue === undefined ? async () => {} : queueGauges(registers, readQueue);
  const refreshAuditLog = readAuditLog === undefined ? async () => {} : auditGauges(registers, readAuditLog);
  const refresh = (): Promise<unknown> => Promise.all([refreshQueue(), refreshAuditLog()]);

  // Bound once: the delivery path runs thousands of times a second.
  const deliveredCount = deliveries.labels({ outcome: 'delivered' });

  const observe: Observe = (observation) => {
    switch (observation.type) {
      case 'delivery.delivered':
        deliveredCount.inc();
        durations.observe(observation.durationMs / 1000);
        return;
      case 'delivery.failed':
      case 'delivery.exhausted':
      case 'delivery.held':
      case 'delivery.resend_failed':
        failures.inc({ error_class: observation.errorClass });
        deliveries.inc({ outcome: observation.type.slice('delivery.'.length) });
        return;
      case 'delivery.filtered':
      case 'delivery.not_attempted':
      case 'delivery.lease_lost':
        deliveries.inc({ outcome: observation.type.slice('delivery.'.length) });
        return;
      case 'delivery.claimed':
        claims.inc();
        claimed.inc(observation.deliveries);
        return;
      case 'delivery.settled':
        settlements.inc();
        settled.inc(observation.deliveries);
        return;
      case 'event.received':
        events.inc({ environment: observation.environment, outcome: 'stored' });
        return;
      case 'event.duplicate':
        events.inc({ environment: observation.environment, outcome: 'duplicate' });
        return;
      case 'event.refused':
        events.inc({ environment: observation.environment, outcome: 'refused' });
        refused.inc({ environment: observation.environment, code: observation.code });
        return;
      case 'event.decided':
        decided.inc();
        return;
      case 'retention.ran':
        for (const kind of ['events', 'deliveries', 'attempts', 'bodies'] as const)
          removed.inc({ kind }, observation[kind]);
        return;
      case 'event.projection_failed':
      case 'event.decide_failed':
      case 'event.set_aside':
      case 'decide.failed':
      case 'delivery.claim_failed':
      case 'delivery.settle_failed':
      case 'delivery.filter_failed':
      case 'endpoint.not_ready':
      case 'replay.release_failed':
      case 'backtest.failed':
      case 'backtest.interrupted':
      case 'job.failed':
      case 'job.lease_lost':
      case 'jobs.claim_failed':
      case 'audit.delayed':
      case 'audit.sequence_failed':
      case 'audit.witness_failed':
      case 'audit.publish_failed':
      case 'request.failed':
      case 'database.listen_lost':
      case 'worker.ended':
        troubles.inc({ type: observation.type });
        return;
      // No metric counts alerts: a number that changes tells that there is one.
      case 'job.ran':
      case 'event.late':
      case 'endpoint.status_changed':
      case 'replay.released':
      case 'replay.completed':
      case 'backtest.progressed':
      case 'backtest.completed':
      case 'master_key.generated':
      case 'log_key.generated':
      case 'audit.key_missing':
      case 'audit.sequenced':
      case 'audit.witnessed':
      case 'audit.published':
      case 'database.listen_restored':
        return;
    }
  };
  return {
    observe,
    read: async () => {
      await refresh();
      return registry.metrics();
    },
    snapshot: async () => {
      await refresh();
      return registry.getMetricsAsJSON();
    },
  };
}

/** The sum of several processes' metrics; what all of them read from the database counts once. */
export async function addUp(snapshots: readonly object[][]): Promise<string> {
  return Registry.aggregate(snapshots.map((snapshot) => [...snapshot])).metrics();
}

/** Gauges of what waits in the database, and what brings them up to date. */
function queueGauges(registers: Registry[], readQueue: () => Promise<DeliveryQueue>): () => Promise<void> {
  const pending = new Gauge({
    name: 'moonguard_deliveries_pending',
    help: 'Deliveries still to be made, counted up to 100000.',
    aggregator: 'max',
    registers,
  });
  const oldestDue = new Gauge({
    name: 'moonguard_oldest_due_delivery_seconds',
    help: 'For how long the oldest delivery to an active endpoint is due that no worker has; 0 when none is.',
    aggregator: 'max',
    registers,
  });
  const up = new Gauge({
    name: 'moonguard_database_up',
    help: 'Whether the database answered; while it does not, what waits is as it was before.',
    aggregator: 'min',
    registers,
  });
  return async () => {
    try {
      const queue = await readQueue();
      pending.set(queue.pending);
      oldestDue.set(queue.oldestDueSeconds);
      up.set(1);
    } catch {
      up.set(0);
    }
  };
}

/** Gauges of the audit log, and what brings them up to date: not of its size and time, which move with alerts. */
function auditGauges(registers: Registry[], readAuditLog: () => Promise<AuditProgress>): () => Promise<void> {
  const gauge = (name: string, help: string): Gauge => new Gauge({ name, help, aggregator: 'max', registers });
  const queued = gauge(
    'moonguard_audit_queue_rows',
    'Rows of the policy log that are not in the tree yet, counted up to 100000.',
  );
  const oldest = gauge(
    'moonguard_audit_oldest_queued_seconds',
    'For how long the oldest of them waits; 0 when none does.',
  );
  return async () => {
    try {
      const progress = await readAuditLog();
      queued.set(progress.queued);
      oldest.set(progress.oldestQueuedSeconds);
    } catch {
      // moonguard_database_up says so.
    }
  };
}
