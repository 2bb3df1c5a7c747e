import { webhookBody } from '../payload.ts';
import type { DeliveryJob } from '../queues/jobQueue.ts';

/** The events of a round, for those that do not read them from our tables. */
export function makeEvents(count: number): DeliveryJob[] {
  return Array.from({ length: count }, (_, place) => {
    const eventId = `00000000-0000-7000-8000-${String(place).padStart(12, '0')}`;
    return { eventId, body: webhookBody(eventId) };
  });
}
