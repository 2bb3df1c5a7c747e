import type { Database } from '../../src/database/database.ts';
import type { BenchDatabase } from '../database.ts';
import type { Load } from '../load.ts';
import type { Measurement } from '../rounds.ts';

/** What a variant of the ingest bench is given, and must do: answer `events` webhooks that `load` posts. */
export interface IngestScenario {
  readonly events: number;
  readonly load: Load;
  readonly database: Database;
  readonly server: BenchDatabase['server'];
}

export interface IngestVariant {
  readonly name: string;
  readonly measure: (round: IngestScenario) => Promise<Measurement>;
}

/** Endpoints that are subscribed to everything: a delivery for each is stored with an event. */
export const ENDPOINTS = 3;
