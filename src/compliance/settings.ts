import { z } from 'zod';
import type { Json } from '../database/schema.generated.ts';
import { text } from '../input/fields.ts';
import { alertTypes, severities } from './alert.ts';

const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, { error: 'must be a time such as 09:00' });
const score = z.int().min(1).max(100);

export const settingsFields = z.strictObject({
  /** Whether one person proposes the decision on a severe alert and another one decides. Default false. */
  fourEyes: z.boolean(),
  /** Which alerts are severe, by the worst severity they ever had. Default high, critical. */
  fourEyesSeverities: z.array(z.enum(severities)),
  /** From which score on the risk level is at least medium, high, extreme. Default 40, 70, 85. */
  bandMedium: score,
  bandHigh: score,
  bandExtreme: score,
  /** The least severity of an alert whose risk level is high, or extreme. Default medium, high. */
  severityFloorHigh: z.enum(severities),
  severityFloorExtreme: z.enum(severities),
  /** How many days apart alerts of one matter may be; 0: none are linked. Default 30. */
  correlationDays: z.int().min(0).max(3650),
  /** Of business days and hours, such as Europe/Vienna. Default UTC. */
  timeZone: z.string().min(1).max(100),
  /** ISO: Monday is 1. Default 1 to 5. */
  businessDays: z.array(z.int().min(1).max(7)).min(1),
  /** Default 09:00. */
  opensAt: timeOfDay,
  /** Default 17:00; 24:00 is the end of the day. */
  closesAt: timeOfDay,
  /** Days after the decision. Default 365. */
  archiveAfterDays: z.int().min(1).max(36_500),
});
export type Settings = Readonly<z.output<typeof settingsFields>>;
export const settingsChanges = settingsFields.partial();
export type SettingsChanges = Readonly<z.input<typeof settingsChanges>>;

/** What must be less than what. */
const rising = [
  ['bandMedium', 'bandHigh', 'must be more than bandMedium'],
  ['bandHigh', 'bandExtreme', 'must be more than bandHigh'],
  ['opensAt', 'closesAt', 'must be later than opensAt'],
] as const;

export const settingsSchema = settingsFields.superRefine((settings, context) => {
  for (const [less, more, message] of rising) {
    if (settings[less] >= settings[more]) {
      context.addIssue({ code: 'custom', path: [more], message, params: { code: 'too_small' } });
    }
  }
});

export const templateSchema = z.strictObject({
  alertType: z.enum(alertTypes),
  recommendedActions: z.array(text).max(100),
});
/** What to do about an alert of a type, where whoever raises it does not say. */
export type AlertTemplate = Readonly<z.output<typeof templateSchema>>;

/** A change of how alerts are worked on. */
export interface SettingChange {
  readonly at: Date;
  readonly actor: string;
  /** The changed columns as they were, or the row of another table of settings under its name; empty for a new row. */
  readonly before: Json;
  readonly after: Json;
}

export const settingChangesPage = z.strictObject({
  /** At most 200; default 50. */
  limit: z.int().min(1).max(200).default(50),
});
