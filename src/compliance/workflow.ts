import type { MoonguardError } from '../errors.ts';
import type { AlertStatus } from './alert.ts';
import { moveNotAllowed, reasonMissing, resolutionIncomplete } from './alertErrors.ts';

/** What a move asks for: nothing, a reason, or the notes and the person of a decision. */
export type MoveNeeds = 'nothing' | 'reason' | 'notes_and_person';

export interface AlertMove {
  readonly from: AlertStatus;
  readonly to: AlertStatus;
  readonly needs: MoveNeeds;
}

/**
 * Which status an alert may go to from which. The database holds the same table (`moonguard.alert_moves`) and enforces it
 * for every client.
 */
export const alertMoves: readonly AlertMove[] = [
  { from: 'open', to: 'in_review', needs: 'nothing' },
  { from: 'open', to: 'escalated', needs: 'nothing' },
  { from: 'open', to: 'resolved', needs: 'notes_and_person' },
  { from: 'open', to: 'dismissed', needs: 'notes_and_person' },
  { from: 'in_review', to: 'open', needs: 'nothing' },
  { from: 'in_review', to: 'escalated', needs: 'nothing' },
  { from: 'in_review', to: 'resolved', needs: 'notes_and_person' },
  { from: 'in_review', to: 'dismissed', needs: 'notes_and_person' },
  { from: 'escalated', to: 'in_review', needs: 'nothing' },
  { from: 'escalated', to: 'resolved', needs: 'notes_and_person' },
  { from: 'escalated', to: 'dismissed', needs: 'notes_and_person' },
  { from: 'resolved', to: 'open', needs: 'reason' },
  { from: 'dismissed', to: 'open', needs: 'reason' },
];

/** The statuses that an alert in this status may go to, in alphabetical order. */
export function movesFrom(status: AlertStatus): AlertStatus[] {
  return alertMoves
    .filter(({ from }) => from === status)
    .map(({ to }) => to)
    .toSorted();
}

/** Why a move is refused; undefined when it is allowed. `words` are the notes or the reason that come with it. */
export function refusalOfMove(
  from: AlertStatus,
  to: AlertStatus,
  words: string | undefined,
): MoonguardError | undefined {
  const move = alertMoves.find((candidate) => candidate.from === from && candidate.to === to);
  if (move === undefined) return moveNotAllowed(from, to, movesFrom(from));
  switch (move.needs) {
    case 'nothing':
      return undefined;
    case 'reason':
      return words === undefined ? reasonMissing(from) : undefined;
    case 'notes_and_person':
      return words === undefined ? resolutionIncomplete(to) : undefined;
  }
}
