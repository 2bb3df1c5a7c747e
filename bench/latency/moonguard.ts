import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Db } from '../../src/database/database.ts';
import { databaseErrorReport } from '../../src/database/databaseError.ts';
import { providerKeySecret, signProviderBody } from '../../src/receive/verifySignature.ts';
import { webhookBody } from '../payload.ts';
import { openProduct, subscribe, WEBHOOK_KEY } from '../product.ts';
import { measureArrivals } from './arrivals.ts';
import type { LatencyVariant } from './scenario.ts';

/** From a signed webhook's being received: verified, stored with its delivery, committed, signed, posted. */
export const moonguard: LatencyVariant = {
  name: 'moonguard',
  open: async ({ events, database: { open }, receiver }) => {
    const database = await open();
    await subscribe(database, [receiver.url]);
    const { key } = providerKeySecret('bench', WEBHOOK_KEY);
    // As long as the run, like the peers' queues: what a server does once, when it starts, is no latency of an event.
    const product = await openProduct(database);
    await product.start();
    // Made once, as the jobs of the peers are.
    const bodies = Array.from({ length: events }, () => Buffer.from(webhookBody(randomUUID())));
    return async (round) => {
      await empty(database.db);
      const measurement = await measureArrivals(round, async (place) => {
        const rawBody = bodies[place] ?? Buffer.alloc(0);
        const signature = signProviderBody(rawBody, key, Math.floor(Date.now() / 1000));
        const { id } = await product.webhooks.receive({ environment: 'sandbox', rawBody, signature });
        return `evt_${id}`;
      });
      while (await isAtWork(database.db)) await sleep(5);
      return measurement;
    };
  },
};

/** The product's jobs begin with it and meet these tables in an order of their own. */
async function empty(db: Db): Promise<void> {
  try {
    await sql`truncate moonguard.delivery_attempts, moonguard.deliveries, public.moonpay_webhook_events, public.moonpay_transactions cascade`.execute(
      db,
    );
  } catch (error) {
    if (databaseErrorReport(error).code !== '40P01') throw error;
    await empty(db);
  }
}

/** Whether an event waits to be decided, or a result to be written. */
async function isAtWork(db: Db): Promise<boolean> {
  const { rows } = await sql<{ isAtWork: boolean }>`
    select exists (select from public.moonpay_webhook_events where not processed)
      or exists (select from moonguard.deliveries where status = 'pending') as "isAtWork"`.execute(db);
  return rows[0]?.isAtWork === true;
}
