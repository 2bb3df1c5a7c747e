import type { Config } from '../config.ts';
import { type RunningServer, startServer } from '../http/server.ts';
import { createMoonguard, type Moonguard, type MoonguardOptions } from '../moonguard.ts';
import type { Observe } from '../observe/observation.ts';
import { countBeside, served } from './metrics.ts';
import { ensureSandboxKey } from './sandboxKey.ts';
import { moonguardOptions } from './session.ts';

/** The whole of Moonguard in this process: HTTP server and workers. */
export interface Running {
  readonly moonguard: Moonguard;
  readonly server: RunningServer;
  /** Whether the sandbox had no webhook key, and got a made-up one. */
  readonly madeSandboxKey: boolean;
  /** Takes no new request, finishes what is under way, closes the database. */
  readonly stop: () => Promise<void>;
}

/** How a server differs from its settings. */
interface ServerVariation extends Pick<MoonguardOptions, 'migrate' | 'allowLoopbackDestinations'> {
  /** Whether it delivers and decides too; default true. */
  readonly worker?: boolean;
}

export async function runServer(
  config: Config,
  tell: Observe,
  { worker = true, ...more }: ServerVariation = {},
): Promise<Running> {
  const { observe, metrics } = countBeside(
    tell,
    config,
    () => moonguard.deliveryQueue(),
    () => moonguard.audit.progress(),
  );
  const moonguard: Moonguard = await createMoonguard({ ...moonguardOptions(config), ...more, observe });
  let server: RunningServer | undefined;
  const stop = async (): Promise<void> => {
    await server?.close();
    await moonguard.stop();
  };
  try {
    const isEmbedded = moonguard.database.kind === 'embedded';
    const madeSandboxKey = isEmbedded && (await ensureSandboxKey(moonguard, config.dataDirectory));
    server = await startServer(moonguard, { ...config, observe, metrics: served(metrics, config) });
    if (worker) await moonguard.start();
    return { moonguard, server, madeSandboxKey, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
