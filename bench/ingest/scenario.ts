import type { BenchDatabase } from '../database.ts';
import type { Load } from '../load.ts';

/** What every variant of the ingest bench is given, and must do: answer `events` webhooks that `load` posts. */
export interface IngestScenario {
  readonly events: number;
  readonly load: Load;
  readonly database: BenchDatabase;
}

/** Endpoints that are subscribed to everything: a delivery for each is stored with an event. */
export const ENDPOINTS = 3;
