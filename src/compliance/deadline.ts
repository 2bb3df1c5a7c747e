import { z } from 'zod';
import { identifier, text } from '../input/fields.ts';
import { severities } from './alert.ts';

const deadlineFields = z.strictObject({
  severity: z.enum(severities),
  /** From the first hit, the last hit, or being reopened. */
  minutes: z.int().min(1).max(525_600),
  /** Whether only minutes of business hours count; else it is round the clock. Default true. */
  inBusinessHours: z.boolean().default(true),
  /** How long before it somebody is told; 0: nobody. Default 0. */
  warnBeforeMinutes: z.int().min(0).default(0),
  /** To whom an alert goes that nobody decided in time; null: it stays where it is. Default null. */
  escalateTo: identifier.nullable().default(null),
});
const deadlineChanges = deadlineFields.omit({ severity: true }).partial();
export type DeadlineChanges = Readonly<z.input<typeof deadlineChanges>>;

export const deadlineSchema = deadlineFields.refine(({ minutes, warnBeforeMinutes }) => warnBeforeMinutes < minutes, {
  path: ['warnBeforeMinutes'],
  error: 'must be less than minutes',
  params: { code: 'too_big' },
});
/** By when alerts of a severity must be decided. */
export type AlertDeadline = Readonly<z.output<typeof deadlineSchema>>;

export const holidaySchema = z.strictObject({
  /** In the time zone of the settings, as 2026-12-25. */
  day: z.iso.date({ error: 'must be a day such as 2026-12-25' }),
  name: text,
});
/** A day without business hours. */
export type Holiday = Readonly<z.output<typeof holidaySchema>>;
