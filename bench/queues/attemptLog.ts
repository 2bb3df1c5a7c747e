import type { Pool } from 'pg';

/** What our own table of attempts holds of each. */
export interface Attempt {
  readonly eventId: string;
  readonly attemptNumber: number;
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly outcome: 'delivered' | 'retry';
  readonly responseStatus: number;
  readonly responseBody: Uint8Array;
}

/** Resolves when the attempt is committed. */
export type RecordAttempt = (attempt: Attempt) => Promise<void>;

const COLUMNS =
  'delivery_id, attempt_number, endpoint_id, started_at, duration_ms, outcome, response_status, response_body';
const ENDPOINT_ID = '00000000-0000-7000-8000-000000000000';

/** A table of the peers' own, with the columns, checks and indexes of ours. Empties it when it is there. */
export async function prepareAttempts(pool: Pool): Promise<void> {
  await pool.query(`
    create schema if not exists bench;
    create table if not exists bench.attempts (like moonguard.delivery_attempts including all);
    truncate bench.attempts`);
}

/** Throws unless every job was delivered once, and every refusal is recorded as well. */
export async function checkAttempts(pool: Pool, expected: { delivered: number; retry: number }): Promise<void> {
  const { rows } = await pool.query<{ delivered: number; retry: number }>(`
    select
      count(distinct delivery_id) filter (where outcome = 'delivered')::integer as delivered,
      count(*) filter (where outcome = 'retry')::integer as retry
    from bench.attempts`);
  if (rows[0]?.delivered === expected.delivered && rows[0].retry === expected.retry) return;
  throw new Error(`Recorded are ${JSON.stringify(rows[0])} attempts instead of ${JSON.stringify(expected)}.`);
}

/** A statement and a transaction for each attempt, as one would write it at first. */
export function recordEach(pool: Pool): RecordAttempt {
  return async (attempt) => {
    await pool.query(`insert into bench.attempts (${COLUMNS}) values ($1, $2, $3, $4, $5, $6, $7, $8)`, [
      attempt.eventId,
      attempt.attemptNumber,
      ENDPOINT_ID,
      attempt.startedAt,
      attempt.durationMs,
      attempt.outcome,
      attempt.responseStatus,
      attempt.responseBody,
    ]);
  };
}

interface Waiting {
  readonly attempt: Attempt;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Whatever has come together while the statement before ran goes into the next one. */
export function recordTogether(pool: Pool): RecordAttempt {
  let waiting: Waiting[] = [];
  let isWriting = false;

  const write = async (): Promise<void> => {
    isWriting = true;
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        await insertAll(
          pool,
          batch.map(({ attempt }) => attempt),
        );
        for (const { resolve } of batch) resolve();
      } catch (error) {
        for (const { reject } of batch) reject(error);
      }
    }
    isWriting = false;
  };

  return (attempt) =>
    new Promise((resolve, reject) => {
      waiting.push({ attempt, resolve, reject });
      if (!isWriting) void write();
    });
}

async function insertAll(pool: Pool, attempts: readonly Attempt[]): Promise<void> {
  await pool.query({
    name: 'insert_attempts',
    text: `
      insert into bench.attempts (${COLUMNS})
      select delivery_id, attempt_number, $1, started_at, duration_ms, outcome, response_status, response_body
      from unnest($2::uuid[], $3::integer[], $4::timestamptz[], $5::integer[], $6::text[], $7::integer[], $8::bytea[])
        as made (delivery_id, attempt_number, started_at, duration_ms, outcome, response_status, response_body)`,
    values: [
      ENDPOINT_ID,
      attempts.map(({ eventId }) => eventId),
      attempts.map(({ attemptNumber }) => attemptNumber),
      attempts.map(({ startedAt }) => startedAt.toISOString()),
      attempts.map(({ durationMs }) => durationMs),
      attempts.map(({ outcome }) => outcome),
      attempts.map(({ responseStatus }) => responseStatus),
      attempts.map(({ responseBody }) => `\\x${Buffer.from(responseBody).toString('hex')}`),
    ],
  });
}
