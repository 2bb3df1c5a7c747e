import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import type { Observe } from '../observe/observation.ts';
import type { ClientCertificates } from '../webhooks/clientCertificates.ts';
import type { EndpointSecrets } from '../webhooks/endpointSecrets.ts';
import { compileFilter, type EndpointFilter } from '../webhooks/filter.ts';
import type { ReadyEndpoint } from './attempt.ts';
import { HeaderLines } from './http1/HeaderLines.ts';
import type { ClaimedEndpoint } from './store/claimDueDeliveries.ts';

/** Undefined when nothing can be sent to it from here; what was leased falls due again. */
export type EndpointPreparer = (claimed: ClaimedEndpoint) => Promise<ReadyEndpoint | undefined>;

export interface EndpointPreparerDependencies {
  readonly database: Database;
  readonly observe: Observe;
  readonly endpointSecrets: Pick<EndpointSecrets, 'keysOf'>;
  readonly clientCertificates: Pick<ClientCertificates, 'find'>;
}

/** Compiled filters kept, by their text. */
const MOST_FILTERS = 1_000;

/** Opens what is sealed of an endpoint and compiles its filter, each once for as long as it stays what it is. */
export function createEndpointPreparer({
  database,
  observe,
  endpointSecrets,
  clientCertificates,
}: EndpointPreparerDependencies): EndpointPreparer {
  const filters = new Map<string, EndpointFilter>();

  const filterOf = (source: string): EndpointFilter => {
    const known = filters.get(source);
    if (known !== undefined) return known;
    if (filters.size >= MOST_FILTERS) filters.clear();
    const filter = compiled(source);
    filters.set(source, filter);
    return filter;
  };

  return async ({ secrets, filter, ...endpoint }) => {
    const { client_certificate_id: certificateId } = endpoint;
    try {
      const clientCertificate =
        certificateId === null ? undefined : await clientCertificates.find(database.db, certificateId);
      // Replaced since the claim: the next one brings its successor.
      if (certificateId !== null && clientCertificate === undefined) return undefined;
      return {
        ...endpoint,
        headers: requestHeaders(endpoint.headers),
        keys: await endpointSecrets.keysOf(database.db, endpoint.id, secrets),
        filter: filter === null ? undefined : filterOf(filter),
        clientCertificate,
      };
    } catch (error) {
      if (!(error instanceof MoonguardError)) throw error;
      // It must not keep the others waiting.
      observe({ type: 'endpoint.not_ready', endpointId: endpoint.id, reason: error.message });
      return undefined;
    }
  };
}

/** An endpoint may be sent a name of its own choice, but not two of them. */
function requestHeaders(own: Readonly<Record<string, string>>): HeaderLines | undefined {
  const namesItself = Object.keys(own).some((name) => name.toLowerCase() === 'user-agent');
  return HeaderLines.of({
    ...(!namesItself && { 'user-agent': 'Moonguard' }),
    ...own,
    'content-type': 'application/json',
  });
}

/** One that SQL wrote may be no expression: it says so of every event. */
function compiled(source: string): EndpointFilter {
  const result = compileFilter(source);
  if ('filter' in result) return result.filter;
  const error = result.problems.map(({ message }) => message).join('; ');
  return () => ({ error });
}
