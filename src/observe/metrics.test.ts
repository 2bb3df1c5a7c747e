import { expect, test } from 'vitest';
import { addUp, createMetrics, type Metrics } from './metrics.ts';

const ids = { deliveryId: 'd', endpointId: 'e' };

/** Our own lines: `name{labels} value`. */
async function lines(metrics: Pick<Metrics, 'read'>): Promise<string[]> {
  return (await metrics.read()).split('\n').filter((line) => line.startsWith('moonguard_'));
}

test('counts events, deliveries, failures and batches', async () => {
  const metrics = createMetrics();
  const { observe } = metrics;
  observe({
    type: 'event.received',
    environment: 'sandbox',
    eventId: 'x',
    eventName: 'transaction.created',
    deliveries: 2,
  });
  observe({ type: 'event.duplicate', environment: 'production', eventId: 'x', bodyDiffers: false });
  observe({ type: 'event.refused', environment: 'sandbox', code: 'signature_mismatch', reason: 'wrong' });
  observe({ type: 'delivery.claimed', endpointId: 'e', deliveries: 7 });
  observe({ type: 'delivery.settled', deliveries: 5 });
  observe({ type: 'delivery.delivered', ...ids, durationMs: 40 });
  observe({ type: 'delivery.delivered', ...ids, durationMs: 40_000 });
  observe({ type: 'delivery.failed', ...ids, errorClass: 'timeout', nextAttemptInMs: 1 });
  observe({ type: 'delivery.exhausted', ...ids, errorClass: 'timeout' });
  observe({ type: 'delivery.filtered', ...ids });
  observe({ type: 'retention.ran', status: 'finished', events: 3, deliveries: 4, attempts: 5, bodies: 0 });
  observe({ type: 'delivery.claim_failed', reason: 'the database is away' });

  expect(await lines(metrics)).toEqual(
    expect.arrayContaining([
      'moonguard_events_total{environment="sandbox",outcome="stored"} 1',
      'moonguard_events_total{environment="production",outcome="duplicate"} 1',
      'moonguard_events_total{environment="sandbox",outcome="refused"} 1',
      'moonguard_events_refused_total{environment="sandbox",code="signature_mismatch"} 1',
      'moonguard_claims_total 1',
      'moonguard_claimed_deliveries_total 7',
      'moonguard_settlements_total 1',
      'moonguard_settled_deliveries_total 5',
      'moonguard_deliveries_total{outcome="delivered"} 2',
      'moonguard_deliveries_total{outcome="failed"} 1',
      'moonguard_deliveries_total{outcome="exhausted"} 1',
      'moonguard_deliveries_total{outcome="filtered"} 1',
      'moonguard_delivery_failures_total{error_class="timeout"} 2',
      'moonguard_delivery_duration_seconds_bucket{le="0.025"} 0',
      'moonguard_delivery_duration_seconds_bucket{le="0.05"} 1',
      'moonguard_delivery_duration_seconds_bucket{le="30"} 1',
      'moonguard_delivery_duration_seconds_bucket{le="+Inf"} 2',
      'moonguard_retention_removed_total{kind="deliveries"} 4',
      'moonguard_troubles_total{type="delivery.claim_failed"} 1',
    ]),
  );
});

test('says nothing about what was decided: whether there is an alert must not show', async () => {
  const [quiet, alarming] = [createMetrics(), createMetrics()];
  quiet.observe({ type: 'event.decided', eventId: 'x', hits: 0 });
  alarming.observe({ type: 'event.decided', eventId: 'x', hits: 3 });

  expect(await lines(alarming)).toEqual(await lines(quiet));
  expect(await lines(quiet)).toContain('moonguard_events_decided_total 1');
});

test('reads the queue when it is read, and says when the database is away', async () => {
  let away = false;
  const metrics = createMetrics(async () => {
    if (away) throw new Error('away');
    return { pending: 12, oldestDueSeconds: 3.5 };
  });
  const queue = ['moonguard_deliveries_pending 12', 'moonguard_oldest_due_delivery_seconds 3.5'];
  expect(await lines(metrics)).toEqual(expect.arrayContaining([...queue, 'moonguard_database_up 1']));
  away = true;
  expect(await lines(metrics)).toEqual(expect.arrayContaining([...queue, 'moonguard_database_up 0']));
});

test('reads how far the audit log has come', async () => {
  const progress = { size: 7, queued: 2, oldestQueuedSeconds: 1.5, signedAt: new Date(60_000), hasKey: true };
  const metrics = createMetrics(undefined, async () => progress);

  expect(await lines(metrics)).toEqual(
    expect.arrayContaining(['moonguard_audit_queue_rows 2', 'moonguard_audit_oldest_queued_seconds 1.5']),
  );
});

test('several processes add up, and what each read from the database counts once', async () => {
  const processes = [1, 2].map((n) => {
    const metrics = createMetrics(async () => ({ pending: 12, oldestDueSeconds: n }));
    metrics.observe({ type: 'delivery.delivered', ...ids, durationMs: 40 });
    return metrics;
  });
  // As it comes over a channel between processes.
  const snapshots: object[][] = JSON.parse(JSON.stringify(await Promise.all(processes.map((each) => each.snapshot()))));

  expect(await lines({ read: () => addUp(snapshots) })).toEqual(
    expect.arrayContaining([
      'moonguard_deliveries_total{outcome="delivered"} 2',
      'moonguard_delivery_duration_seconds_count 2',
      'moonguard_deliveries_pending 12',
      'moonguard_oldest_due_delivery_seconds 2',
      'moonguard_database_up 1',
    ]),
  );
});
