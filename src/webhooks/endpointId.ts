import type { Db } from '../database/database.ts';
import { known } from './refusals.ts';
import { findEndpointId } from './store/findEndpointId.ts';

/**
 * Id of the endpoint, deleted or not; undefined when none is named.
 * @throws MoonguardError webhook_not_found
 */
export async function idOf(db: Db, webhookId: string): Promise<string>;
export async function idOf(db: Db, webhookId: string | undefined): Promise<string | undefined>;
export async function idOf(db: Db, webhookId: string | undefined): Promise<string | undefined> {
  return webhookId === undefined ? undefined : known(await findEndpointId(db, webhookId), webhookId);
}
