import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import { type Severity, severities } from './alert.ts';
import { type AlertDeadline, type DeadlineChanges, deadlineSchema, type Holiday, holidaySchema } from './deadline.ts';
import { changed, writeSettings } from './settingsChange.ts';
import { listDeadlines } from './store/listDeadlines.ts';
import { listHolidays } from './store/listHolidays.ts';
import { putDeadline } from './store/putDeadline.ts';
import { putHoliday } from './store/putHoliday.ts';
import { removeDeadline } from './store/removeDeadline.ts';
import { removeHoliday } from './store/removeHoliday.ts';

/**
 * By when alerts must be decided, and on which days nobody works. Alerts that have a deadline keep it when this changes.
 * Every change stays in `moonguard.alert_setting_changes`.
 */
export class AlertDeadlines {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /** The worst severity first; one without a deadline is not there. */
  async list({ transaction = this.#database.db }: ReadOptions = {}): Promise<AlertDeadline[]> {
    return listDeadlines(transaction);
  }

  /**
   * Changes what is given of the deadline of a severity; one that has none needs `minutes`.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async put(severity: Severity, changes: DeadlineChanges, options: WriteOptions = {}): Promise<AlertDeadline> {
    return writeSettings(this.#database, options, 'alert_deadlines', async (transaction) => {
      const current = (await listDeadlines(transaction)).find((deadline) => deadline.severity === severity);
      const wanted = changed<Partial<AlertDeadline>>({ ...current, severity }, changes);
      const deadline = parseInput(deadlineSchema, wanted, 'alert_settings_invalid');
      await putDeadline(transaction, deadline);
      return deadline;
    });
  }

  /**
   * Alerts of this severity have no deadline from now on. Returns whether they had.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async remove(severity: Severity, options: WriteOptions = {}): Promise<boolean> {
    const given = parseInput(z.object({ severity: z.enum(severities) }), { severity }, 'alert_settings_invalid');
    return writeSettings(this.#database, options, 'alert_deadlines', (transaction) =>
      removeDeadline(transaction, given.severity),
    );
  }

  /** The earliest first. */
  async listHolidays({ transaction = this.#database.db }: ReadOptions = {}): Promise<Holiday[]> {
    return listHolidays(transaction);
  }

  /**
   * Adds a holiday, or gives it another name.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async putHoliday(holiday: Holiday, options: WriteOptions = {}): Promise<void> {
    const given = parseInput(holidaySchema, holiday, 'alert_settings_invalid');
    await writeSettings(this.#database, options, 'holidays', (transaction) => putHoliday(transaction, given));
  }

  /**
   * Makes it a day like any other. Returns whether it was a holiday.
   * @throws MoonguardError alert_settings_invalid, alert_actor_missing
   */
  async removeHoliday(day: string, options: WriteOptions = {}): Promise<boolean> {
    const given = parseInput(holidaySchema.pick({ day: true }), { day }, 'alert_settings_invalid');
    return writeSettings(this.#database, options, 'holidays', (transaction) => removeHoliday(transaction, given.day));
  }
}
