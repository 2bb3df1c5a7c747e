import type { ReadyEndpoint } from './attempt.ts';
import type { ClaimedLane } from './store/claimDueDeliveries.ts';

/** Endpoints of which that much is known at a time: an offer names them all. */
const MOST_ENDPOINTS = 50;

/**
 * Endpoints, as the last claim had them, whose deliveries need nothing but to be sent: no filter, no envelope, no order,
 * no pace. What is stored for them can be leased at once.
 */
export class PlainEndpoints {
  /** By id; the one that was claimed for last stands last. */
  readonly #endpoints = new Map<string, ReadyEndpoint>();

  note({ toBeChosen, spacingMs }: ClaimedLane, endpoint: ReadyEndpoint): void {
    const { id, filter, delivery_settings: settings } = endpoint;
    this.#endpoints.delete(id);
    const isPaced = toBeChosen || spacingMs > 0;
    if (isPaced || filter !== undefined || settings.payload === 'envelope' || settings.ordering === 'entity') return;
    this.#endpoints.set(id, endpoint);
    for (const oldest of this.#endpoints.keys()) {
      if (this.#endpoints.size <= MOST_ENDPOINTS) break;
      this.#endpoints.delete(oldest);
    }
  }

  /** @param takesMore whether this worker could begin another delivery to it now */
  ready(takesMore: (endpointId: string) => boolean): Map<string, ReadyEndpoint> {
    return new Map([...this.#endpoints].filter(([id]) => takesMore(id)));
  }
}
