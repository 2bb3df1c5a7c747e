import { z } from 'zod';
import { identifier, text } from '../input/fields.ts';
import { type AlertType, alertTypes, type Severity, severities } from './alert.ts';

/** How a queue gives out its alerts: not at all, to whoever has least to do, or in turn. */
export const queueStrategies = ['manual', 'least_loaded', 'round_robin'] as const;
export type QueueStrategy = (typeof queueStrategies)[number];

/** Somebody who works on alerts. */
export interface AlertPerson {
  /** As in `assignedTo`. */
  readonly id: string;
  readonly name: string | null;
  /** How many undecided alerts are distributed to the person at a time; null: any number. */
  readonly capacity: number | null;
  readonly isActive: boolean;
  /** Undecided alerts that are assigned to the person now. */
  readonly load: number;
}

export const personSchema = z.strictObject({
  id: identifier,
  name: text.nullable().optional(),
  /** null: any number, as for somebody new. By hand more may be assigned. */
  capacity: z.int().min(1).max(1_000_000).nullable().optional(),
  /** Whether alerts may be assigned to the person. Somebody new is active. */
  isActive: z.boolean().optional(),
});
export type PersonInput = z.input<typeof personSchema>;

/** Where alerts of some types and severities wait for a person. */
export interface AlertQueue {
  readonly name: string;
  /** null: every type. */
  readonly alertTypes: readonly AlertType[] | null;
  /** null: every severity. */
  readonly severities: readonly Severity[] | null;
  readonly strategy: QueueStrategy;
  readonly priority: number;
  readonly isActive: boolean;
  /** Ids of people, sorted. */
  readonly members: readonly string[];
}

export const queueSchema = z.strictObject({
  name: identifier,
  /** null: every type, as for a new queue. */
  alertTypes: z.array(z.enum(alertTypes)).min(1).nullable().optional(),
  /** null: every severity, as for a new queue. */
  severities: z.array(z.enum(severities)).min(1).nullable().optional(),
  /** Default of a new queue: manual. */
  strategy: z.enum(queueStrategies).optional(),
  /** Of several queues that take an alert the one with the least gets it. Default of a new queue: 100. */
  priority: z.int().min(-1_000_000).max(1_000_000).optional(),
  /** Whether it takes alerts and gives them out. A new queue is active. */
  isActive: z.boolean().optional(),
});
export type QueueInput = z.input<typeof queueSchema>;

export const memberSchema = z.object({ queue: identifier, person: identifier });
