import * as fc from 'fast-check';
import type { AlertStatus, DecidedStatus, Severity } from '../../src/compliance/alert.ts';

/** An alert and what people do with it as the documentation has it, without a database. */

export interface AlertModel {
  status: AlertStatus;
  severity: Severity;
  peakSeverity: Severity;
  assignedTo: string | null;
  reviewedBy: string | null;
  resolvedBy: string | null;
  resolutionNotes: string | null;
  proposedStatus: DecidedStatus | null;
  proposedBy: string | null;
  proposedNotes: string | null;
  occurrenceCount: number;
  version: number;
}

export interface World {
  readonly alert: AlertModel;
  /** Another undecided alert with the same dedupe key. */
  hasRival: boolean;
  fourEyes: boolean;
}

/** `by` undefined: nobody is named. */
export type Step =
  | { readonly does: 'move'; readonly by: string | undefined; readonly to: AlertStatus; readonly words: Words }
  | { readonly does: 'propose'; readonly by: string | undefined; readonly to: DecidedStatus; readonly words: Words }
  | { readonly does: 'assign'; readonly by: string | undefined; readonly to: string | null }
  | { readonly does: 'comment'; readonly by: string | undefined }
  | { readonly does: 'hit'; readonly by: string; readonly severity: Severity }
  | { readonly does: 'rate'; readonly by: string; readonly severity: Severity }
  | { readonly does: 'four eyes'; readonly on: boolean };

type Words = 'because' | ' ' | undefined;

const people = ['anna', 'otto', 'mia'] as const;
const person = fc.constantFrom(...people);
const anybody = fc.oneof({ weight: 12, arbitrary: person }, { weight: 1, arbitrary: fc.constant(undefined) });
const anyWords = fc.constantFrom<Words[]>('because', 'because', 'because', 'because', ' ', undefined);
const anySeverity = fc.constantFrom<Severity[]>('low', 'medium', 'high', 'critical');
const decision = fc.constantFrom<DecidedStatus[]>('resolved', 'resolved', 'resolved', 'dismissed');
const anyStatus = fc.constantFrom<AlertStatus[]>('open', 'in_review', 'escalated', 'resolved', 'dismissed');

export const anyMove: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ does: fc.constant('move'), by: anybody, to: anyStatus, words: anyWords }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('propose'), by: anybody, to: decision, words: anyWords }) },
  { weight: 4, arbitrary: fc.record({ does: fc.constant('move'), by: anybody, to: decision, words: anyWords }) },
);
const anyStep: fc.Arbitrary<Step> = fc.oneof(
  { weight: 14, arbitrary: anyMove },
  {
    weight: 2,
    arbitrary: fc.record({ does: fc.constant('assign'), by: anybody, to: fc.constantFrom(...people, null) }),
  },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('comment'), by: anybody }) },
  { weight: 3, arbitrary: fc.record({ does: fc.constant('hit'), by: person, severity: anySeverity }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('rate'), by: person, severity: anySeverity }) },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('four eyes'), on: fc.boolean() }) },
);
/** Long enough that what takes several steps happens: propose, see a further hit, decide, reopen beside a rival. */
export const anyWalk = fc.array(anyStep, { minLength: 20, maxLength: 40, size: 'max' });

/** A severe alert under four eyes. */
export function newWorld(): World {
  const alert: AlertModel = {
    status: 'open',
    severity: 'high',
    peakSeverity: 'high',
    assignedTo: null,
    reviewedBy: null,
    resolvedBy: null,
    resolutionNotes: null,
    proposedStatus: null,
    proposedBy: null,
    proposedNotes: null,
    occurrenceCount: 1,
    version: 1,
  };
  return { alert, hasRival: false, fourEyes: true };
}

const moves: Readonly<Record<AlertStatus, readonly AlertStatus[]>> = {
  open: ['in_review', 'escalated', 'resolved', 'dismissed'],
  in_review: ['open', 'escalated', 'resolved', 'dismissed'],
  escalated: ['in_review', 'resolved', 'dismissed'],
  resolved: ['open'],
  dismissed: ['open'],
};
const order: readonly Severity[] = ['low', 'medium', 'high', 'critical'];

export function isMove(from: AlertStatus, to: AlertStatus): boolean {
  return moves[from].includes(to);
}

/** Does the step, or says with which error it is refused. */
export function take(world: World, step: Step): string | undefined {
  const { alert } = world;
  switch (step.does) {
    case 'four eyes':
      world.fourEyes = step.on;
      return undefined;
    case 'comment':
      return step.by === undefined ? 'alert_actor_missing' : undefined;
    case 'assign':
      if (step.by === undefined) return 'alert_actor_missing';
      if (alert.assignedTo !== step.to) alert.version += 1;
      alert.assignedTo = step.to;
      return undefined;
    case 'hit':
      if (isOver(alert.status)) {
        world.hasRival = true;
        return undefined;
      }
      alert.occurrenceCount += 1;
      if (order.indexOf(step.severity) > order.indexOf(alert.severity)) alert.severity = step.severity;
      return factsChanged(alert);
    case 'rate':
      if (alert.severity === step.severity) return undefined;
      alert.severity = step.severity;
      return factsChanged(alert);
    case 'propose':
      return propose(alert, step);
    case 'move':
      return move(world, step);
  }
}

function propose(alert: AlertModel, { by, to, words }: Extract<Step, { does: 'propose' }>): string | undefined {
  if (by === undefined) return 'alert_actor_missing';
  if (!isMove(alert.status, to)) return 'alert_move_not_allowed';
  if (words !== 'because') return 'alert_resolution_incomplete';
  if (alert.proposedStatus === to) return undefined;
  Object.assign(alert, { proposedStatus: to, proposedBy: by, proposedNotes: words, version: alert.version + 1 });
  return undefined;
}

function move(world: World, { by, to, words }: Extract<Step, { does: 'move' }>): string | undefined {
  const { alert } = world;
  if (by === undefined) return 'alert_actor_missing';
  if (!isMove(alert.status, to)) return 'alert_move_not_allowed';
  const wasOver = isOver(alert.status);
  const isProposed = alert.proposedStatus === to;
  if (isOver(to)) {
    if (words !== 'because' && !isProposed) return 'alert_resolution_incomplete';
    if (needsTwo(world) && (!isProposed || alert.proposedBy === by)) return 'alert_second_person_needed';
  } else if (wasOver) {
    if (words !== 'because') return 'alert_invalid';
    if (world.hasRival) return 'alert_duplicate';
  }
  if (!isProposed) Object.assign(alert, { proposedStatus: null, proposedBy: null, proposedNotes: null });
  alert.status = to;
  alert.version += 1;
  alert.resolvedBy = isOver(to) ? by : null;
  alert.resolutionNotes = isOver(to) ? 'because' : null;
  if (to === 'in_review') alert.reviewedBy = by;
  return undefined;
}

function factsChanged(alert: AlertModel): undefined {
  if (order.indexOf(alert.severity) > order.indexOf(alert.peakSeverity)) alert.peakSeverity = alert.severity;
  if (!isOver(alert.status)) Object.assign(alert, { proposedStatus: null, proposedBy: null, proposedNotes: null });
  alert.version += 1;
}

export function needsTwo({ alert, fourEyes }: World): boolean {
  return fourEyes && (alert.peakSeverity === 'high' || alert.peakSeverity === 'critical');
}

function isOver(status: AlertStatus): boolean {
  return status === 'resolved' || status === 'dismissed';
}
