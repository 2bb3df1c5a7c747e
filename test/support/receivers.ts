import type { Database } from '../../src/database/database.ts';
import { Receiver, type ReceiverDependencies } from '../../src/receive/Receiver.ts';
import { providerKeySecret } from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { webhookKey } from './moonpay.ts';

/** A receiver with the tests' webhook key, and nothing else of Moonguard around it. */
export function receiverOn(database: Database, options: Partial<ReceiverDependencies> = {}): Receiver {
  return new Receiver({
    database,
    runtime: systemRuntime,
    observe: () => {},
    providerKeys: { current: async () => [providerKeySecret('test', webhookKey)] },
    signatureToleranceSeconds: 300,
    maxBodyBytes: 1_048_576,
    ...options,
  });
}
