import { randomBytes } from 'node:crypto';
import type { Database } from '../../src/database/database.ts';
import { createProviderKeys } from '../../src/receive/providerKeys.ts';
import { Receiver } from '../../src/receive/Receiver.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { createSecretBox } from '../../src/secrets/secretBox.ts';
import { type ClientCertificates, createClientCertificates } from '../../src/webhooks/clientCertificates.ts';
import { createEndpointSecrets, type EndpointSecrets } from '../../src/webhooks/endpointSecrets.ts';
import { WebhookHandler } from '../../src/webhooks/WebhookHandler.ts';

/** The webhooks part of createMoonguard alone, without a worker: nothing is sent. */
export function openWebhooks(
  database: Database,
  { allowLoopbackDestinations = false } = {},
): { webhooks: WebhookHandler; endpointSecrets: EndpointSecrets; clientCertificates: ClientCertificates } {
  const runtime = systemRuntime;
  const secretBox = createSecretBox(randomBytes(32));
  const endpointSecrets = createEndpointSecrets({ secretBox, runtime });
  const clientCertificates = createClientCertificates({ secretBox, runtime });
  const configuredKeys = { sandbox: [], production: [] };
  const receiver = new Receiver({
    database,
    runtime,
    observe: () => {},
    providerKeys: createProviderKeys({ database, secretBox, runtime, configuredKeys }),
    signatureToleranceSeconds: 300,
    maxBodyBytes: 1_048_576,
  });
  const webhooks = new WebhookHandler({
    database,
    runtime,
    endpointSecrets,
    clientCertificates,
    receiver,
    allowLoopbackDestinations,
  });
  return { webhooks, endpointSecrets, clientCertificates };
}
