import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import type { Database } from '../../src/database/database.ts';
import { listReplayLanes } from '../../src/deliver/store/listReplayLanes.ts';
import { type ReleaseBounds, releaseReplayLane } from '../../src/deliver/store/releaseReplayLane.ts';
import type { DeliveryStatus } from '../../src/webhooks/delivery.ts';
import type { WebhookHandler } from '../../src/webhooks/WebhookHandler.ts';

const unbounded: ReleaseBounds = { window: 1_000, batch: 1_000, lookAt: 5_000 };

/** Replays turn by turn, without workers: nothing is sent. */
export interface ReplayTurns {
  /** Removes everything; an endpoint is there again. Returns its id. */
  readonly begin: () => Promise<string>;
  readonly createEndpoint: () => Promise<string>;
  /** Ids of what is pending, the oldest first. */
  readonly pending: () => Promise<string[]>;
  /** Everything that a worker or a replay may have changed, the oldest first. */
  readonly rowsOf: (ids: readonly string[]) => Promise<Record<string, unknown>[]>;
  /** One batch of every lane. Returns how many were released. */
  readonly turn: (bounds?: Partial<ReleaseBounds>) => Promise<number>;
  /** Does what workers do with everything that is pending. */
  readonly settle: (as: DeliveryStatus) => Promise<void>;
}

export function openReplays(database: Database, webhooks: WebhookHandler): ReplayTurns {
  const createEndpoint = async (): Promise<string> => {
    const url = `https://example.com/${randomUUID()}`;
    return (await webhooks.createWebhook({ url, events: ['*'], environment: 'sandbox' })).id;
  };
  return {
    createEndpoint,
    begin: async () => {
      await database.runScript(
        'delete from moonguard.replays; delete from moonpay_webhook_events; delete from moonpay_webhook_config;',
      );
      return createEndpoint();
    },
    pending: async () => {
      const { rows } = await sql<{ id: string }>`
        select id from moonguard.deliveries where status = 'pending' order by event_id
      `.execute(database.db);
      return rows.map(({ id }) => id);
    },
    rowsOf: async (ids) => {
      const { rows } = await sql<Record<string, unknown>>`
        select * from moonguard.deliveries
        where id = any (array(select jsonb_array_elements_text(${JSON.stringify(ids)}::jsonb)::uuid))
        order by event_id
      `.execute(database.db);
      return rows;
    },
    turn: async (bounds = {}) => {
      let released = 0;
      for (const lane of await listReplayLanes(database.db)) {
        released += (await releaseReplayLane(database.db, lane, { ...unbounded, ...bounds })).released;
      }
      return released;
    },
    settle: async (as) => {
      await sql`
        update moonguard.deliveries
        set status = ${as}, settled_at = now(), resend_from = null, resend_next_attempt_at = null, attempts_count = attempts_count + 1
        where status = 'pending'
      `.execute(database.db);
    },
  };
}
