import type { z } from 'zod';
import type { Database } from '../database/database.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import type { AlertType } from './alert.ts';
import {
  type AlertTemplate,
  type SettingChange,
  type Settings,
  type SettingsChanges,
  settingChangesPage,
  settingsChanges,
  settingsFields,
  settingsSchema,
  templateSchema,
} from './settings.ts';
import { changed, notAllowed, writeSettings } from './settingsChange.ts';
import { type AlertSettingsRow, findAlertSettings } from './store/findAlertSettings.ts';
import { listSettingChanges } from './store/listSettingChanges.ts';
import { listTemplates } from './store/listTemplates.ts';
import { putTemplate } from './store/putTemplate.ts';
import { updateAlertSettings } from './store/updateAlertSettings.ts';

/** How alerts are worked on. Every change stays in `moonguard.alert_setting_changes`, with who made it. */
export class AlertSettings {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /** @throws MoonguardError alert_settings_invalid for whoever may not see them */
  async get({ transaction = this.#database.db }: ReadOptions = {}): Promise<Settings> {
    return decode(await findAlertSettings(transaction));
  }

  /**
   * Changes what is given; other bands are applied to alerts that are not decided.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async update(changes: SettingsChanges, options: WriteOptions = {}): Promise<Settings> {
    const given = parseInput(settingsChanges, changes, 'alert_settings_invalid');
    return writeSettings(this.#database, options, 'alert_settings', async (transaction) => {
      const current = await this.get({ transaction });
      parseInput(settingsSchema, changed(current, given), 'alert_settings_invalid');
      if (Object.values(given).every((value) => value === undefined)) return current;
      return decode(await updateAlertSettings(transaction, columnsOf(given)));
    });
  }

  /** What to do about alerts of each type, where whoever raises them does not say. */
  async listTemplates({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertTemplate[]> {
    return listTemplates(transaction);
  }

  /**
   * Says anew what to do about new alerts of a type.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async putTemplate(
    alertType: AlertType,
    recommendedActions: readonly string[],
    options: WriteOptions = {},
  ): Promise<void> {
    const template = parseInput(templateSchema, { alertType, recommendedActions }, 'alert_settings_invalid');
    await writeSettings(this.#database, options, 'alert_templates', (transaction) =>
      putTemplate(transaction, template),
    );
  }

  /**
   * Who changed what of settings, deadlines, holidays, templates, people and queues, the newest first.
   * @throws MoonguardError alert_settings_invalid
   */
  async listChanges(
    page: z.input<typeof settingChangesPage> = {},
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<SettingChange[]> {
    const { limit } = parseInput(settingChangesPage, page, 'alert_settings_invalid');
    return listSettingChanges(transaction, limit);
  }
}

function columnsOf(given: SettingsChanges): Parameters<typeof updateAlertSettings>[1] {
  return {
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
}

function decode(row: AlertSettingsRow | undefined): Settings {
  if (row === undefined) throw notAllowed();
  return settingsFields.parse({
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
