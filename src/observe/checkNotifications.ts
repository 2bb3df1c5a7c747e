import type { Database } from '../database/database.ts';
import type { Runtime } from '../runtime.ts';
import { type Check, ok, warning } from './check.ts';
import { notify } from './store/notify.ts';

/** A notification takes milliseconds where it arrives at all. */
const ARRIVES_WITHIN_MS = 2_000;

/** A pooler in transaction mode takes LISTEN without an error and delivers nothing. */
export async function checkNotifications(patient: {
  readonly database: Database;
  readonly runtime: Pick<Runtime, 'newId'>;
}): Promise<Check> {
  const channel = `moonguard_doctor_${patient.runtime.newId()}`;
  const arrived = Promise.withResolvers<boolean>();
  const stopListening = await patient.database.listen(channel, () => arrived.resolve(true));
  const deadline = setTimeout(() => arrived.resolve(false), ARRIVES_WITHIN_MS);
  try {
    await notify(patient.database.db, channel);
    if (await arrived.promise) return ok('notifications', 'LISTEN works');
  } finally {
    clearTimeout(deadline);
    await stopListening();
  }
  return warning(
    'notifications',
    'LISTEN hears nothing: work is found by polling, up to a second later',
    'Connect to PostgreSQL itself or to a pooler in session mode (Supabase: port 5432 instead of 6543).',
  );
}
