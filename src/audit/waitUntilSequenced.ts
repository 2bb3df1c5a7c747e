import { setTimeout as pause } from 'node:timers/promises';
import type { Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { findLeafOf } from './store/findLeafOf.ts';

/** How often a row is looked for, in milliseconds; a batch is sequenced every 250. */
const PAUSE_MS = 50;

/**
 * Resolves when a committed row is in the tree, and so under a signature: both are one commit.
 * @throws MoonguardError policy_log_not_found, audit_delayed
 */
export async function waitUntilSequenced(db: Db, id: string, withinMs: number): Promise<void> {
  const late = AbortSignal.timeout(withinMs);
  for (;;) {
    const leaf = await findLeafOf(db, id);
    if (leaf === undefined) {
      throw new MoonguardError('policy_log_not_found', 'Nothing that is logged, and committed, has this id.');
    }
    if (leaf.index !== null) return;
    if (late.aborted) {
      throw new MoonguardError('audit_delayed', `The row was not signed within ${withinMs} ms.`);
    }
    await pause(PAUSE_MS);
  }
}
