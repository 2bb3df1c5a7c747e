import { z } from 'zod';
import { pageFields } from '../input/fields.ts';
import { type Environment, environments } from '../observe/observation.ts';
import type { BacktestReport } from './backtestReport.ts';

/** `failed`: it could not go on, such as when a list that the version uses is gone. */
export const backtestStatuses = ['running', 'completed', 'cancelled', 'failed'] as const;
export type BacktestStatus = (typeof backtestStatuses)[number];

const version = z.int().min(1);

export const backtestRequestSchema = z
  .strictObject({
    policyId: z.string(),
    /** Default: the newest. */
    version: version.optional(),
    /** What it is compared with; default: the active version where it is another one, else having no such policy. */
    comparedVersion: version.nullish(),
    /** Only events of it. */
    environment: z.enum(environments).optional(),
    /** Only events received at this time or later. */
    since: z.date().optional(),
    /** Only events received before this time. */
    until: z.date().optional(),
  })
  .refine(({ since, until }) => since === undefined || until === undefined || since < until, {
    path: ['until'],
    error: 'must be later than since',
  });
export type BacktestRequest = z.input<typeof backtestRequestSchema>;

export const backtestPageSchema = z.strictObject({
  policyId: z.string().optional(),
  ...pageFields,
  cursor: z.guid({ error: 'must be the nextCursor of an earlier page' }).optional(),
});
export type BacktestPage = z.input<typeof backtestPageSchema>;

/** A version of a policy evaluated over stored events, and how far that is. */
export interface Backtest {
  readonly id: string;
  readonly policyId: string;
  readonly version: number;
  /** Null: compared with having no such policy. */
  readonly comparedVersion: number | null;
  /** Null: both. */
  readonly environment: Environment | null;
  readonly since: Date | null;
  readonly until: Date | null;
  readonly status: BacktestStatus;
  /** Events it was about when it began. */
  readonly totalCount: number;
  readonly evaluatedCount: number;
  /** Events whose body retention has removed. */
  readonly skippedCount: number;
  readonly report: BacktestReport;
  readonly failure: string | null;
  readonly createdBy: string;
  readonly createdAt: Date;
  readonly finishedAt: Date | null;
  readonly cancelledBy: string | null;
}
