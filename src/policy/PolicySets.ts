import type { Db } from '../database/database.ts';
import type { Environment } from '../observe/observation.ts';
import { type CompiledPolicy, compilePolicy } from './compilePolicy.ts';
import { type PolicyDocument, policyDocumentSchema } from './document.ts';
import type { PolicyMode } from './inputs.ts';
import type { ListLookup } from './listLookup.ts';
import { isForEvent } from './policyApplies.ts';
import { findPolicyRevision } from './store/findPolicyRevision.ts';
import { type EvaluatedVersionRow, listEvaluatedVersions } from './store/listEvaluatedVersions.ts';
import { listPolicyLists } from './store/listPolicyLists.ts';
import { listPolicyListValues } from './store/listPolicyListValues.ts';

/** All that is evaluated at one moment, compiled. */
export interface PolicySet {
  /** Of the database; another one when something changed. */
  readonly revision: number;
  readonly policies: readonly CompiledPolicy[];
  readonly lists: ListLookup;
  /** Those that may apply to an event, by its name and environment alone. */
  candidates(name: string, environment: Environment): readonly CompiledPolicy[];
}

interface LoadedList {
  readonly revision: number;
  readonly isCaseSensitive: boolean;
  readonly values: ReadonlySet<string>;
}

/** What is evaluated, loaded again when it changed. A change made meanwhile counts from the next call on. */
export class PolicySets {
  #set: PolicySet | undefined;
  /** By row and mode: a version that is evaluated never changes. */
  #compiled: ReadonlyMap<string, CompiledPolicy> = new Map();
  #lists: ReadonlyMap<string, LoadedList> = new Map();

  /** What was loaded last: as good as {@link current} while the database has the same revision. */
  get latest(): PolicySet | undefined {
    return this.#set;
  }

  /** @param revision what the caller has just read of `moonguard.policy_revision`, which spares a round trip */
  async current(db: Db, revision?: number): Promise<PolicySet> {
    const newest = revision ?? (await findPolicyRevision(db));
    if (this.#set?.revision === newest) return this.#set;
    // Read after the revision: whatever changes between the two has another one, and is loaded by the next call.
    const compiled = this.#compile(await listEvaluatedVersions(db));
    const lists = await this.#load(db);
    const set = policySet(newest, [...compiled.values()], lookupIn(lists));
    // What a transaction sees may be taken back, and its revision given to another change.
    if (!db.isTransaction) {
      this.#set = set;
      this.#compiled = compiled;
      this.#lists = lists;
    }
    return set;
  }

  #compile(rows: readonly EvaluatedVersionRow[]): ReadonlyMap<string, CompiledPolicy> {
    return new Map(
      rows.map((row) => {
        const key = `${row.id} ${row.status}`;
        return [key, this.#compiled.get(key) ?? compileVersion(row)];
      }),
    );
  }

  async #load(db: Db): Promise<ReadonlyMap<string, LoadedList>> {
    const known = this.#lists;
    const rows = await listPolicyLists(db);
    const changed = rows.filter(({ name, revision }) => known.get(name)?.revision !== revision);
    const values =
      changed.length === 0
        ? []
        : await listPolicyListValues(
            db,
            changed.map(({ name }) => name),
          );
    const byList = Map.groupBy(values, ({ list_name }) => list_name);
    const lists = new Map<string, LoadedList>();
    for (const { name, revision, case_sensitive: isCaseSensitive } of rows) {
      const before = known.get(name);
      lists.set(
        name,
        before?.revision === revision
          ? before
          : {
              revision,
              isCaseSensitive,
              values: new Set((byList.get(name) ?? []).map(({ value }) => folded(value, isCaseSensitive))),
            },
      );
    }
    return lists;
  }
}

function lookupIn(lists: ReadonlyMap<string, LoadedList>): ListLookup {
  return {
    has: (list, value) => {
      const found = lists.get(list);
      return found?.values.has(folded(value, found.isCaseSensitive));
    },
  };
}

const folded = (value: string, isCaseSensitive: boolean): string => (isCaseSensitive ? value : value.toLowerCase());

/** Those of MoonPay's events and of requests are some dozens; yet whoever asks may make up new ones. */
const MOST_NAMES = 1_000;

function policySet(revision: number, policies: readonly CompiledPolicy[], lists: ListLookup): PolicySet {
  const byName = new Map<string, readonly CompiledPolicy[]>();
  return {
    revision,
    policies,
    lists,
    candidates: (name, environment) => {
      const key = `${environment} ${name}`;
      const known = byName.get(key);
      if (known !== undefined) return known;
      const found = policies.filter(({ document }) => isForEvent(document, name, environment));
      if (byName.size === MOST_NAMES) byName.clear();
      byName.set(key, found);
      return found;
    },
  };
}

/** What cannot be compiled any more is an error on everything it applies to. */
export function compileVersion(row: Omit<EvaluatedVersionRow, 'id'>): CompiledPolicy {
  const { policy_id: id, version, hash, status: mode } = row;
  const parsed = policyDocumentSchema.safeParse(row.document);
  if (!parsed.success) {
    // Saved by SQL or by another version of the program. What it applies to is not known: everything.
    const document: PolicyDocument = {
      id,
      name: id,
      type: 'compliance_rule',
      applies_to: { events: ['*'] },
      rules: [],
    };
    return broken(document, { version, hash, mode }, 'the document is not valid');
  }
  const result = compilePolicy(parsed.data, { version, mode });
  if ('policy' in result) return result.policy;
  const reason = result.problems.map(({ field, message }) => `${field}: ${message}`).join('; ');
  return broken(parsed.data, { version, hash, mode }, `the version does not compile: ${reason}`);
}

/** A policy of which nobody can say whether it is met: an error on everything it applies to. */
function broken(
  document: PolicyDocument,
  at: { readonly version: number; readonly hash: string; readonly mode: PolicyMode },
  error: string,
): CompiledPolicy {
  return { document, ...at, appliesTo: () => ({ error }), asksOnlyEvent: true, rules: [], aggregates: [] };
}
