import { z } from 'zod';
import type { Database, Db } from '../database/database.ts';
import { MoonguardError } from '../errors.ts';
import { identifier, text } from '../input/fields.ts';
import { inputError, parseInput } from '../input/parseInput.ts';
import type { ReadOptions } from '../input/writeOptions.ts';
import { hashOf } from './canonicalJson.ts';
import type { PolicyDocument } from './document.ts';
import { parseDocumentText, readDocument } from './documentText.ts';
import { decodePolicyVersion, type PolicyVersion, type PolicyVersionRow, type VersionStatus } from './policyVersion.ts';
import { type PolicyStepOptions, writeStep } from './policyWrite.ts';
import { findPolicyVersion } from './store/findPolicyVersion.ts';
import { installPolicyVersion } from './store/installPolicyVersion.ts';
import { listPolicyVersions } from './store/listPolicyVersions.ts';
import { movePolicyVersion } from './store/movePolicyVersion.ts';
import { savePolicyDraft } from './store/savePolicyDraft.ts';
import { type Change, structuralDiff } from './structuralDiff.ts';

/** Who puts in the policies that come with the program. */
const INSTALLER = 'moonguard';

/**
 * Versions of policies: saved as a draft, tried in shadow, published, retired. Every step is in the policy log with what
 * held before and after it. Going back is publishing an older version.
 */
export class PolicyVersions {
  readonly #database: Database;

  constructor({ database }: { readonly database: Database }) {
    this.#database = database;
  }

  /**
   * Saves a document, given as such or as text (JSON or YAML), as the draft of its policy; an earlier draft is overwritten.
   * @throws MoonguardError policy_invalid, naming every problem with its place; then nothing is saved
   */
  async saveDraft(given: PolicyDocument | string, options: PolicyStepOptions = {}): Promise<PolicyVersion> {
    const document = read(given);
    return this.#write(options, (transaction, note) =>
      savePolicyDraft(transaction, { document, hash: hashOf(document), note }),
    );
  }

  /**
   * Makes a version active, by default the draft, else the one in shadow; the one before is retired. With four-eyes
   * somebody else than who saved it has to do it.
   * @throws MoonguardError policy_version_not_found, policy_version_not_allowed, policy_second_person_needed, policy_invalid
   */
  async publish(policyId: string, version?: number, options: PolicyStepOptions = {}): Promise<PolicyVersion> {
    return this.#move(policyId, version ?? ['draft', 'shadow'], 'active', options);
  }

  /**
   * Evaluates and logs a version, by default the draft, without effect; one that was in shadow is retired.
   * @throws MoonguardError policy_version_not_found, policy_version_not_allowed, policy_invalid
   */
  async shadow(policyId: string, version?: number, options: PolicyStepOptions = {}): Promise<PolicyVersion> {
    return this.#move(policyId, version ?? ['draft'], 'shadow', options);
  }

  /**
   * Takes a version out, by default the active one: then the policy is evaluated no more.
   * @throws MoonguardError policy_version_not_found, policy_version_not_allowed
   */
  async retire(policyId: string, version?: number, options: PolicyStepOptions = {}): Promise<PolicyVersion> {
    return this.#move(policyId, version ?? ['active'], 'retired', options);
  }

  /**
   * Puts in a policy that comes with a program: its first version is active at once. Undefined, and nothing is changed,
   * where the policy has or ever had a version.
   * @throws MoonguardError policy_invalid
   */
  async install(given: PolicyDocument, options: ReadOptions = {}): Promise<PolicyVersion | undefined> {
    const document = read(given);
    const saved = { document, hash: hashOf(document), note: undefined };
    if ((await this.list(document.id, options)).length > 0) return undefined;
    const row = await writeStep(this.#database, { ...options, actor: INSTALLER }, 'policy_invalid', (transaction) =>
      installPolicyVersion(transaction, saved),
    );
    return row && decodePolicyVersion(row);
  }

  /** The newest first; empty where the policy has no versions. */
  async list(policyId: string, { transaction = this.#database.db }: ReadOptions = {}): Promise<PolicyVersion[]> {
    return isIdentifier(policyId) ? (await listPolicyVersions(transaction, policyId)).map(decodePolicyVersion) : [];
  }

  /**
   * A version; by default the active one, else that in shadow, the draft, the last that was retired.
   * @throws MoonguardError policy_version_not_found
   */
  async get(
    policyId: string,
    version?: number,
    { transaction = this.#database.db }: ReadOptions = {},
  ): Promise<PolicyVersion> {
    return decodePolicyVersion(await find(transaction, policyId, version ?? ['active', 'shadow', 'draft', 'retired']));
  }

  /**
   * Where the documents of two versions differ.
   * @throws MoonguardError policy_version_not_found
   */
  async diff(policyId: string, before: number, after: number, options: ReadOptions = {}): Promise<Change[]> {
    const [one, other] = [await this.get(policyId, before, options), await this.get(policyId, after, options)];
    return structuralDiff(one.document, other.document);
  }

  /** A version that has the status already stays as it is. */
  async #move(
    policyId: string,
    wanted: number | readonly VersionStatus[],
    status: VersionStatus,
    options: PolicyStepOptions,
  ): Promise<PolicyVersion> {
    return this.#write(options, async (transaction, note) => {
      const version = await find(transaction, policyId, wanted);
      if (version.status === status) return version;
      // One that was saved by SQL, or by a program that read documents otherwise.
      if (status !== 'retired') read(version.document);
      return (await movePolicyVersion(transaction, version.id, { status, note: note ?? null })) ?? notAllowed(version);
    });
  }

  async #write(
    options: PolicyStepOptions,
    work: (transaction: Db, note: string | undefined) => Promise<PolicyVersionRow>,
  ): Promise<PolicyVersion> {
    const { reason } = parseInput(z.object({ reason: text.optional() }), options, 'policy_invalid');
    return decodePolicyVersion(
      await writeStep(this.#database, options, 'policy_invalid', (transaction) => work(transaction, reason)),
    );
  }
}

/** @throws MoonguardError policy_invalid */
function read(given: PolicyDocument | string): PolicyDocument {
  const result = typeof given === 'string' ? parseDocumentText(given) : readDocument(given);
  if ('problems' in result) throw inputError('policy_invalid', result.problems);
  return result.document;
}

async function find(db: Db, policyId: string, wanted: number | readonly VersionStatus[]): Promise<PolicyVersionRow> {
  const row =
    isIdentifier(policyId) && (typeof wanted !== 'number' || isVersion(wanted))
      ? await findPolicyVersion(db, policyId, wanted)
      : undefined;
  if (row !== undefined) return row;
  const which = typeof wanted === 'number' ? `version ${wanted}` : `version that is ${wanted.join(' or ')}`;
  throw new MoonguardError('policy_version_not_found', `The policy has no ${which}.`);
}

const isIdentifier = (given: string): boolean => identifier.safeParse(given).success;

const isVersion = (given: number): boolean => z.int32().safeParse(given).success;

function notAllowed({ version }: PolicyVersionRow): never {
  throw new MoonguardError('policy_version_not_allowed', `Version ${version} is not yours to change.`);
}
