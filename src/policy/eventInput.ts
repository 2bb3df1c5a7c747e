import type { Environment } from '../observe/observation.ts';
import type { EventInput } from './inputs.ts';

/** A stored event, as far as policies read it. */
export interface StoredEvent {
  readonly id: string;
  readonly environment: Environment;
  readonly event_name: string;
  readonly event_type: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly at: Date;
  /** `event_data::text`: the driver's own reading of jsonb loses digits. null: the body was no JSON. */
  readonly json: string | null;
}

/** Never throws: what the payload says in an odd way it does not say; `absent` gives the reasons. */
export function eventInputOf(_event: StoredEvent): {
  readonly event: EventInput;
  readonly absent: Readonly<Record<string, string>>;
} {
  throw new Error('not built yet');
}
