import { createSecretKey } from 'node:crypto';
import type { Database } from '../src/database/database.ts';
import { DeliveryWorker } from '../src/deliver/DeliveryWorker.ts';
import { createSender } from '../src/deliver/send.ts';
import type { Observe } from '../src/observe/observation.ts';
import { Receiver } from '../src/receive/Receiver.ts';
import { systemRuntime } from '../src/runtime.ts';
import { createSecretBox } from '../src/secretBox.ts';
import { createEndpointSecrets } from '../src/webhooks/endpointSecrets.ts';

/** MoonPay's key, that webhooks are signed with. */
export const WEBHOOK_KEY = 'wk_test_bench0000000000000000000000';

export async function openProduct({ database, observe = () => {} }: { database: Database; observe?: Observe }) {
  const runtime = systemRuntime;
  const keys = [{ keyId: 'bench', key: createSecretKey(WEBHOOK_KEY, 'utf8') }];
  const webhooks = new Receiver({
    database,
    runtime,
    observe,
    providerKeys: { current: async () => keys },
    signatureToleranceSeconds: 300,
    maxBodyBytes: 1_048_576,
  });
  const sender = createSender({ allowLoopback: () => true });
  const endpointSecrets = createEndpointSecrets({ secretBox: createSecretBox(Buffer.alloc(32)), runtime });
  const worker = new DeliveryWorker({
    database,
    runtime,
    observe,
    sender,
    endpointSecrets,
    concurrency: Number(process.env['CC'] ?? 128),
  });
  return {
    webhooks,
    start: () => worker.start(),
    stop: async () => {
      await worker.stop();
      await sender.close();
    },
  };
}
