import { databaseErrorReport } from '../database/databaseError.ts';
import { type ErrorCode, MoonguardError } from '../errors.ts';
import { inputError } from '../input/parseInput.ts';
import { refusedRow } from '../input/refusedRow.ts';
import type { AlertStatus } from './alert.ts';

// The workflow is refused here before the database is asked, so that a caller's transaction survives the refusal, and by
// the database for everybody else, with the same words.

export function moveNotAllowed(from: AlertStatus, to: AlertStatus, allowed: readonly AlertStatus[]): MoonguardError {
  const moves = allowed.length === 0 ? 'nothing' : allowed.join(', ');
  return new MoonguardError(
    'alert_move_not_allowed',
    `An alert that is ${from} cannot become ${to}. Allowed from ${from}: ${moves}.`,
  );
}

export function resolutionIncomplete(to: AlertStatus): MoonguardError {
  return new MoonguardError('alert_resolution_incomplete', `To make an alert ${to} notes and a person are needed.`);
}

export function reasonMissing(from: AlertStatus): MoonguardError {
  return invalidReason(`to reopen a ${from} alert a reason is needed`);
}

function invalidReason(message: string): MoonguardError {
  return inputError('alert_invalid', [{ code: 'required', field: 'reason', message }]);
}

/** The error that stands for what the database refused; the error itself where it is about something else. */
export function alertWriteError(error: unknown): unknown {
  const { constraint, message, hint } = databaseErrorReport(error);
  switch (constraint) {
    case 'moonpay_compliance_alerts_workflow':
    case 'moonpay_compliance_alerts_decision':
      return refused('alert_move_not_allowed');
    case 'moonpay_compliance_alerts_second_person':
      return refused('alert_second_person_needed');
    case 'moonpay_compliance_alerts_merged':
      return refused('alert_merged');
    case 'moonpay_compliance_alerts_duplicate':
      return refused('alert_duplicate');
    case 'moonpay_compliance_alerts_open_dedupe_key': // two at the same moment
      return new MoonguardError('alert_duplicate', 'Another alert with the same dedupe_key is under work.', {
        cause: error,
      });
    case 'moonpay_compliance_alerts_version':
      return new MoonguardError('alert_version_stale', sentence(message), { cause: error });
    case 'moonpay_compliance_alerts_resolution':
      return new MoonguardError('alert_resolution_incomplete', sentence(message), { cause: error });
    case 'moonpay_compliance_alerts_reason':
      return invalidReason(message);
    case 'moonpay_compliance_alerts_actor':
      return inputError('alert_actor_missing', [{ code: 'required', field: 'actor', message }], error);
    case 'moonpay_compliance_alerts_assignee':
      return inputError('alert_assignee_unknown', [{ code: 'unknown_value', field: 'assignedTo', message }], error);
    case 'moonpay_compliance_alerts_queue_check':
      return new MoonguardError('queue_not_found', sentence(message), { cause: error });
    case undefined:
    default: {
      const problem = refusedRow(error, 'moonpay_compliance_alerts');
      return problem === undefined ? error : inputError('alert_invalid', [problem], error);
    }
  }

  function refused(code: ErrorCode): MoonguardError {
    return new MoonguardError(code, `${sentence(message)} ${hint ?? ''}`.trim(), { cause: error });
  }
}

function sentence(message: string): string {
  return `${message.charAt(0).toUpperCase()}${message.slice(1)}.`;
}
