import type { BenchDatabase } from '../database.ts';
import type { LocalReceiver } from '../receiver.ts';

/** What every variant of the delivery bench is given, and must do: `deliveries` requests to `receiver`, each once. */
export interface DeliveryScenario {
  readonly deliveries: number;
  readonly receiver: LocalReceiver;
  readonly database: BenchDatabase;
  /** Requests in flight at a time. */
  readonly concurrency: number;
  readonly connections: number;
}
