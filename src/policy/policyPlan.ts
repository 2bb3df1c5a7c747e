import type { Database } from '../database/database.ts';
import { hashOf } from './canonicalJson.ts';
import type { PolicyService } from './PolicyService.ts';
import type { PolicyFile } from './policyFiles.ts';
import type { PolicyStepOptions } from './policyWrite.ts';
import { type Change, structuralDiff } from './structuralDiff.ts';

/** What a file means to the database. */
export interface PlannedPolicy extends PolicyFile {
  /**
   * - `new`: the policy has no version.
   * - `changed`: neither its active nor its newest version says this.
   * - `saved`: its newest version says this, and is not active.
   * - `unchanged`: its active version says this.
   */
  readonly change: 'new' | 'changed' | 'saved' | 'unchanged';
  readonly activeVersion: number | undefined;
  /** Where it differs from the active version. */
  readonly differences: readonly Change[];
}

export interface PolicyPlan {
  readonly policies: readonly PlannedPolicy[];
  /** Active policies with versions that no file holds. They stay. */
  readonly onlyInDatabase: readonly string[];
}

/** What saving the files would change. Nothing is written. */
export async function planPolicies(policies: PolicyService, files: readonly PolicyFile[]): Promise<PolicyPlan> {
  const planned: PlannedPolicy[] = [];
  for (const file of files) planned.push(await planPolicy(policies, file));
  const inFiles = new Set(files.map(({ document }) => document.id));
  const onlyInDatabase: string[] = [];
  for (const { policyId } of await policies.listPolicies({ isActive: true })) {
    if (!inFiles.has(policyId) && (await policies.versions.list(policyId)).length > 0) onlyInDatabase.push(policyId);
  }
  return { policies: planned, onlyInDatabase };
}

async function planPolicy({ versions }: PolicyService, { file, document }: PolicyFile): Promise<PlannedPolicy> {
  const known = await versions.list(document.id);
  const active = known.find(({ status }) => status === 'active');
  const hash = hashOf(document);
  const changeOf = (): PlannedPolicy['change'] => {
    if (known[0] === undefined) return 'new';
    if (active?.hash === hash) return 'unchanged';
    return known[0].hash === hash && known[0].status !== 'retired' ? 'saved' : 'changed';
  };
  return {
    file,
    document,
    change: changeOf(),
    activeVersion: active?.version,
    differences: active === undefined ? [] : structuralDiff(active.document, document),
  };
}

/**
 * Saves what is new or changed, and publishes it where that is asked for: all of it or nothing.
 * @throws MoonguardError policy_invalid, policy_second_person_needed
 */
export async function applyPlan(
  { database, policies }: { readonly database: Database; readonly policies: PolicyService },
  plan: PolicyPlan,
  { publishes, ...options }: PolicyStepOptions & { readonly publishes: boolean },
): Promise<void> {
  await database.transaction(async (transaction) => {
    const step = { ...options, transaction };
    for (const { document, change } of plan.policies) {
      if (change === 'new' || change === 'changed') await policies.versions.saveDraft(document, step);
      if (publishes && change !== 'unchanged') await policies.versions.publish(document.id, undefined, step);
    }
  }, options.transaction);
}
