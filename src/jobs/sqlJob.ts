import type { Database } from '../database/database.ts';
import type { JsonValue } from '../database/schema.generated.ts';
import type { Job, JobContext, JobOutcome } from './job.ts';
import { callJobFunction } from './store/callJobFunction.ts';

export interface SqlJob extends Omit<Job, 'run'> {
  /** As comment of moonguard.jobs.sql_call says. */
  readonly sqlCall: string;
}

/** A job whose work is one SQL function; called until it says that nothing is left. */
export function sqlJob(database: Database, job: SqlJob): Job {
  return { ...job, run: (context) => callUntilDone(database, job.sqlCall, context) };
}

async function callUntilDone(database: Database, call: string, { signal, report }: JobContext): Promise<JobOutcome> {
  const result: Record<string, number> = {};
  for (;;) {
    const answer = answerOf(await callJobFunction(database.db, call));
    for (const [name, done] of answer.counts) result[name] = (result[name] ?? 0) + done;
    report(result);
    const { isMore, failure, nextDue } = answer;
    if (!isMore || failure !== undefined || signal.aborted) return { result, failure, nextDue };
  }
}

interface Answer {
  readonly counts: readonly [name: string, done: number][];
  readonly isMore: boolean;
  readonly nextDue: Date | undefined;
  readonly failure: string | undefined;
}

function answerOf(value: JsonValue): Answer {
  if (typeof value === 'number') {
    return { counts: [['done', value]], isMore: value > 0, nextDue: undefined, failure: undefined };
  }
  const {
    more,
    next_due: nextDue,
    failure,
    ...counts
  } = typeof value === 'object' && value !== null ? Object(value) : {};
  return {
    counts: Object.entries(counts).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    isMore: more === true,
    nextDue: typeof nextDue === 'string' ? new Date(nextDue) : undefined,
    failure: typeof failure === 'string' ? failure : undefined,
  };
}
