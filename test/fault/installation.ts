import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import type { Database } from '../../src/database/database.ts';
import { createMoonguard, type Moonguard, type MoonguardOptions } from '../../src/moonguard.ts';
import { directoryWithDatabase, type RunningCli, startCli, temporaryDirectory } from '../support/cli.ts';
import { observed } from '../support/signals.ts';
import { openTestDatabase } from '../support/testDatabase.ts';
import { webhookKey } from './eventStream.ts';

export const masterKey = Buffer.alloc(32, 7).toString('base64');

/** A database, and servers on it that can be started and killed one after the other. */
export interface Installation {
  /** To open Moonguard in the test's own process; on the embedded database only while no server runs. */
  readonly options: MoonguardOptions;
  readonly start: () => RunningCli;
}

export async function openInstallation(
  kind: Database['kind'],
  { leaseMs }: { readonly leaseMs: number },
): Promise<Installation> {
  const env = {
    MOONGUARD_MASTER_KEY: masterKey,
    MOONPAY_WEBHOOK_KEYS_SANDBOX: webhookKey,
    MOONGUARD_ALLOW_LOOPBACK_DESTINATIONS: 'true',
    MOONGUARD_LEASE_MS: String(leaseMs),
    // Reports everything that was settled.
    MOONGUARD_LOG_LEVEL: 'debug',
  };
  const common = { masterKey, allowLoopbackDestinations: true, leaseMs };
  const args = ['start', '--port', '0'];
  if (kind === 'embedded') {
    const directory = directoryWithDatabase();
    return {
      options: { ...common, dataDirectory: join(directory, 'data') },
      start: () => startCli(args, { directory, env }),
    };
  }
  const database = await openTestDatabase('postgres');
  onTestFinished(() => database.close());
  return {
    options: { ...common, databaseUrl: database.url, dataDirectory: temporaryDirectory() },
    start: () => startCli(args, { env: { ...env, DATABASE_URL: database.url } }),
  };
}

/** Where a server receives, once it does. */
export async function urlOf(server: RunningCli): Promise<string> {
  const [, url = ''] = await server.untilLine(/(http:\S+)\/webhooks\/moonpay\/sandbox$/);
  return url;
}

/** Gives besides Moonguard a way to wait until everything is delivered and decided. */
export async function withMoonguard<T>(
  options: MoonguardOptions,
  work: (moonguard: Moonguard, finished: () => Promise<void>) => Promise<T>,
): Promise<T> {
  const { observe, next } = observed();
  const moonguard = await createMoonguard({ ...options, observe });
  const finished = async (): Promise<void> => {
    await moonguard.start();
    for (;;) {
      const { undecidedEvents } = await moonguard.inventory();
      const { pendingDeliveries } = await moonguard.webhooks.getStats();
      if (undecidedEvents + pendingDeliveries === 0) return;
      await next(({ type }) => type === 'event.decided' || type === 'delivery.delivered');
    }
  };
  try {
    return await work(moonguard, finished);
  } finally {
    await moonguard.stop();
  }
}

/** Every delivery's `webhook-id`, by the id of the delivery. */
export async function webhookIds({ webhooks }: Pick<Moonguard, 'webhooks'>): Promise<Map<string, string>> {
  const ids = new Map<string, string>();
  let cursor: string | undefined;
  do {
    const page = await webhooks.listDeliveries({ limit: 200, cursor });
    for (const { id, eventId } of page.items) ids.set(id, `evt_${eventId}`);
    cursor = page.nextCursor;
  } while (cursor !== undefined);
  return ids;
}
