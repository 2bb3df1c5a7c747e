import type { CompiledPolicy, PolicyBindings } from './compilePolicy.ts';
import type { Outcome } from './document.ts';
import type { DecisionInputs, EventInput } from './inputs.ts';

/** What one rule came to. */
export interface RuleResult {
  readonly rule: string;
  /** `skipped`: in mode `first`, after the rule that decided. */
  readonly result: 'hit' | 'no_hit' | 'error' | 'skipped';
  /** Of a hit or an error; a hit that is waived counts as `allow`. */
  readonly outcome?: Outcome;
  /** What a hit adds, in mode `score`. */
  readonly score?: number;
  readonly error?: string;
  /** The exception or granted approval that makes this hit count as `allow`. */
  readonly waived_by?: string;
}

export interface PolicyResult {
  readonly policy: string;
  readonly version: number;
  readonly mode: 'active' | 'shadow';
  readonly outcome: Outcome;
  /** In mode `score`. */
  readonly score?: number;
  /** In mode `score`: the granted approval that makes what it came to count as `allow`. */
  readonly waived_by?: string;
  /** Why it could not be said whether the policy applies; it then does. */
  readonly error?: string;
  readonly rules: readonly RuleResult[];
}

/** Its canonical JSON is what a replay must give again, bit for bit. */
export interface Decision {
  /** The worst of the active policies. */
  readonly outcome: Outcome;
  /** Those that applied, by id. */
  readonly policies: readonly PolicyResult[];
}

/** What is decided on: a stored event, or a request of a caller who asks before acting. */
export interface Subject {
  /** Undefined for a request. */
  readonly eventId?: string;
  /** Of a request, `at` becomes the time of the decision. */
  readonly event: EventInput;
  /** Why a field is missing that was there in another form: by its path. */
  readonly absent?: Readonly<Record<string, string>>;
  /** MoonPay's id of the transaction concerned; default: the entity, where it is one. */
  readonly transactionId?: string | undefined;
  readonly correlationId: string;
  readonly requestedBy: string;
}

/** A decision with everything it was made from. */
export interface DecidedSubject {
  readonly decisionId: string;
  readonly subject: Subject;
  readonly inputs: DecisionInputs;
  readonly decision: Decision;
  /** In the order of `decision.policies`. */
  readonly policies: readonly CompiledPolicy[];
  readonly bindings: PolicyBindings;
}
