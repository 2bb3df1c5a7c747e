import { databaseErrorReport } from '../database/databaseError.ts';
import { type ErrorCode, MoonguardError } from '../errors.ts';
import { inputError } from '../input/parseInput.ts';
import { refusedRow } from '../input/refusedRow.ts';

const UNIQUE_VIOLATION = '23505';

/** The error that stands for what the policy log refused; the error itself where it is about something else. */
export function policyLogWriteError(error: unknown): unknown {
  const { constraint, message } = databaseErrorReport(error);
  if (constraint === 'moonpay_policy_logs_append_only') {
    return new MoonguardError('policy_log_append_only', `${message}.`, { cause: error });
  }
  if (constraint === 'moonpay_policy_logs_log_id_key') {
    return new MoonguardError('policy_log_duplicate', `${message}.`, { cause: error });
  }
  const problem = refusedRow(error, 'moonpay_policy_logs');
  return problem === undefined ? error : inputError('policy_log_invalid', [problem], error);
}

/** The same for moonpay_policies. */
export function policyWriteError(error: unknown): unknown {
  if (databaseErrorReport(error).code === UNIQUE_VIOLATION) {
    return new MoonguardError('policy_duplicate', 'There is a policy with this policyId already.', { cause: error });
  }
  const problem = refusedRow(error, 'moonpay_policies');
  return problem === undefined ? error : inputError('policy_invalid', [problem], error);
}

export function policyNotFound(): MoonguardError {
  return new MoonguardError('policy_not_found', 'There is no policy with this id.');
}

/** What versions, lists, exceptions and approvals refuse, by the constraints of the database. */
const refusedSteps: Readonly<Record<string, ErrorCode>> = {
  policy_versions_move: 'policy_version_not_allowed',
  policy_versions_content: 'policy_version_not_allowed',
  policy_versions_second_person: 'policy_second_person_needed',
  policy_lists_content: 'policy_list_invalid',
  policy_lists_in_use: 'policy_list_invalid',
  policy_list_values_list_name_fkey: 'policy_list_not_found',
  policy_exceptions_actor: 'exception_invalid',
  policy_exceptions_content: 'exception_invalid',
  policy_exceptions_ended: 'exception_invalid',
  policy_approvals_actor: 'approval_not_allowed',
  policy_approvals_move: 'approval_not_allowed',
  policy_approvals_second_person: 'policy_second_person_needed',
  moonpay_policies_versions: 'policy_has_versions',
};

/** The same for the tables of migration 0024; a value that the row may not have is an error `invalid`. */
export function policyStepError(error: unknown, invalid: ErrorCode): unknown {
  const { constraint = '' } = databaseErrorReport(error);
  const code = Object.hasOwn(refusedSteps, constraint) ? refusedSteps[constraint] : undefined;
  if (code !== undefined) return refusedStep(error, code);
  const table = policyTables.find((name) => constraint.startsWith(`${name}_`));
  const problem = table === undefined ? undefined : refusedRow(error, table);
  return problem === undefined ? error : inputError(invalid, [problem], error);
}

const policyTables = [
  'policy_settings',
  'policy_versions',
  'policy_lists',
  'policy_list_values',
  'policy_exceptions',
  'policy_approvals',
];

function refusedStep(error: unknown, code: ErrorCode): MoonguardError {
  const { message, hint } = databaseErrorReport(error);
  return new MoonguardError(code, `${message.charAt(0).toUpperCase()}${message.slice(1)}. ${hint ?? ''}`.trim(), {
    cause: error,
  });
}

export function decisionNotFound(): MoonguardError {
  return new MoonguardError('decision_not_found', 'There is no decision with this id in the policy log.');
}
