import { databaseErrorReport } from '../database/databaseError.ts';
import { MoonguardError } from '../errors.ts';
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
