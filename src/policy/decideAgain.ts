import { MoonguardError } from '../errors.ts';
import type { WriteOptions } from '../input/writeOptions.ts';
import type { DecisionServices } from './decideSubjects.ts';
import { resumeDeciding } from './store/resumeDeciding.ts';

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Has an event whose decision failed decided as if it had just come, also one that was set aside.
 * @throws MoonguardError decision_not_found when it is decided, or there is no such event
 */
export async function decideAgain(
  { database }: Pick<DecisionServices, 'database'>,
  eventId: string,
  { transaction = database.db }: WriteOptions = {},
): Promise<void> {
  const isResumed = UUID.test(eventId) && (await resumeDeciding(transaction, eventId));
  if (!isResumed) throw new MoonguardError('decision_not_found', 'There is no undecided event with this id.');
}
