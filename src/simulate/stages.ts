/** MoonPay's four stages of a purchase. */
const stageNames = [
  'stage_one_ordering',
  'stage_two_verification',
  'stage_three_processing',
  'stage_four_delivery',
] as const;

export interface Stage {
  readonly stage: (typeof stageNames)[number];
  readonly status: 'not_started' | 'in_progress' | 'success' | 'failed';
  readonly failureReason: string | null;
  readonly actions: readonly never[];
}

/**
 * @param passed how many stages are behind; the next one is under way, unless `failureCode` says how it failed
 */
export function stagesAfter(passed: number, failureCode?: string): Stage[] {
  return stageNames.map((stage, index) => ({
    stage,
    status: statusOf(index - passed, failureCode !== undefined),
    failureReason: index === passed ? (failureCode ?? null) : null,
    actions: [],
  }));
}

function statusOf(ahead: number, hasFailed: boolean): Stage['status'] {
  if (ahead < 0) return 'success';
  if (ahead > 0) return 'not_started';
  return hasFailed ? 'failed' : 'in_progress';
}
