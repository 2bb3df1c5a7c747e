import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import type { EndpointSecrets } from '../webhooks/endpointSecrets.ts';
import type { ReadyEndpoint } from './attempt.ts';
import type { ClaimedEndpoint } from './store/claimDueDeliveries.ts';

/** Undefined when nothing can be sent to it from here; what was leased falls due again. */
export type EndpointPreparer = (claimed: ClaimedEndpoint) => Promise<ReadyEndpoint | undefined>;

export interface EndpointPreparerDependencies {
  readonly database: Database;
  readonly observe: Observe;
  readonly endpointSecrets: Pick<EndpointSecrets, 'keysOf'>;
}

/** Opens what is sealed of an endpoint and compiles its filter, each once for as long as it stays what it is. */
export function createEndpointPreparer(dependencies: EndpointPreparerDependencies): EndpointPreparer {
  const { database, observe, endpointSecrets } = dependencies;
  return async ({ secrets, filter: _filter, ...endpoint }) => {
    try {
      const { id } = endpoint;
      return {
        ...endpoint,
        keys: await endpointSecrets.keysOf(database.db, id, secrets),
        filter: undefined,
        clientCertificate: undefined,
      };
    } catch (error) {
      if (!(error instanceof MoonguardError)) throw error;
      // It must not keep the others waiting.
      observe({ type: 'endpoint.not_ready', endpointId: endpoint.id, reason: error.message });
      return undefined;
    }
  };
}
