import { z } from 'zod';
import { asActor } from '../database/asActor.ts';
import type { Database } from '../database/database.ts';
import { inSavepoint } from '../database/savepoint.ts';
import { MoonguardError } from '../errors.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import { refusedRow } from '../input/refusedRow.ts';
import { type ReadOptions, SYSTEM_ACTOR, type WriteOptions } from '../input/writeOptions.ts';
import { severities } from './alert.ts';
import { personOf } from './alertChange.ts';
import { type AlertSettingsRow, findAlertSettings } from './store/findAlertSettings.ts';
import { updateAlertSettings } from './store/updateAlertSettings.ts';

const timeOfDay = z.string().regex(/^([01]\d|2[0-3]):[0-5]\d$|^24:00$/, { error: 'must be a time such as 09:00' });
const score = z.int().min(1).max(100);

const settingsSchema = z.strictObject({
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
export type Settings = Readonly<z.output<typeof settingsSchema>>;

/** How alerts are worked on. Every change stays in `moonguard.alert_setting_changes`, with who made it. */
export class AlertSettings {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  async get({ transaction = this.#database.db }: ReadOptions = {}): Promise<Settings> {
    return decode((await findAlertSettings(transaction)) ?? notAllowed());
  }

  /**
   * Changes what is given; other bands are applied to alerts that are not decided.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async update(changes: Partial<Settings>, options: WriteOptions = {}): Promise<Settings> {
    const given = parseInput(settingsSchema.partial(), changes, 'alert_settings_invalid');
    const actor = options.actor === undefined ? SYSTEM_ACTOR : personOf(options);
    if (Object.keys(given).length === 0) return this.get(options);
    const row = {
      four_eyes: given.fourEyes,
      four_eyes_severities: given.fourEyesSeverities,
      band_medium: given.bandMedium,
      band_high: given.bandHigh,
      band_extreme: given.bandExtreme,
      severity_floor_high: given.severityFloorHigh,
      severity_floor_extreme: given.severityFloorExtreme,
      correlation_days: given.correlationDays,
      time_zone: given.timeZone,
      business_days: given.businessDays,
      opens_at: given.opensAt,
      closes_at: given.closesAt,
      archive_after_days: given.archiveAfterDays,
    };
    try {
      return await this.#database.transaction(
        (transaction) =>
          inSavepoint(transaction, () =>
            asActor(transaction, actor, async () =>
              decode((await updateAlertSettings(transaction, row)) ?? notAllowed()),
            ),
          ),
        options.transaction,
      );
    } catch (error) {
      const problem = refusedRow(error, 'alert_settings');
      throw problem === undefined ? error : inputError('alert_settings_invalid', [problem], error);
    }
  }
}

function notAllowed(): never {
  throw new MoonguardError('alert_settings_invalid', 'The settings of alerts are not yours to see or to change.');
}

function decode(row: AlertSettingsRow): Settings {
  return settingsSchema.parse({
    fourEyes: row.four_eyes,
    fourEyesSeverities: row.four_eyes_severities,
    bandMedium: row.band_medium,
    bandHigh: row.band_high,
    bandExtreme: row.band_extreme,
    severityFloorHigh: row.severity_floor_high,
    severityFloorExtreme: row.severity_floor_extreme,
    correlationDays: row.correlation_days,
    timeZone: row.time_zone,
    businessDays: row.business_days,
    opensAt: row.opens_at.slice(0, 5),
    closesAt: row.closes_at.slice(0, 5),
    archiveAfterDays: row.archive_after_days,
  });
}
