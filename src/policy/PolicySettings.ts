import { z } from 'zod';
import type { Database } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { parseInput } from '../input/parseInput.ts';
import type { ReadOptions, WriteOptions } from '../input/writeOptions.ts';
import { writeStep } from './policyWrite.ts';
import { findPolicySettings, type PolicySettingsRow } from './store/findPolicySettings.ts';
import { updatePolicySettings } from './store/updatePolicySettings.ts';

const settingsSchema = z.strictObject({
  /** Whether a version is published by another person than the one who saved it. Default false. */
  fourEyes: z.boolean(),
  /** How long an approval waits for somebody, and how long one that was granted holds, unless said otherwise. Default 72. */
  approvalHours: z.int().min(1).max(8760),
});
const changesSchema = settingsSchema.partial();
export type PolicySettingsValues = Readonly<z.output<typeof settingsSchema>>;

type PolicySettingsChanges = z.input<typeof changesSchema>;

/** How policies are changed. Every change of it is in the policy log. */
export class PolicySettings {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  async get({ transaction = this.#database.db }: ReadOptions = {}): Promise<PolicySettingsValues> {
    return decode(await findPolicySettings(transaction));
  }

  /**
   * Changes what is given.
   * @throws MoonguardError policy_settings_invalid
   */
  async update(changes: PolicySettingsChanges, options: WriteOptions = {}): Promise<PolicySettingsValues> {
    const given = parseInput(changesSchema, changes, 'policy_settings_invalid');
    if (Object.values(given).every((value) => value === undefined)) return this.get(options);
    const row = { four_eyes: given.fourEyes, approval_hours: given.approvalHours };
    return decode(
      await writeStep(this.#database, options, 'policy_settings_invalid', (transaction) =>
        updatePolicySettings(transaction, row),
      ),
    );
  }
}

/** Row Level Security shows nothing to whom it is not for. */
function decode(row: PolicySettingsRow | undefined): PolicySettingsValues {
  if (row === undefined) {
    throw new MoonguardError('policy_settings_invalid', 'The settings of policies are not yours to see or to change.');
  }
  return { fourEyes: row.four_eyes, approvalHours: row.approval_hours };
}
