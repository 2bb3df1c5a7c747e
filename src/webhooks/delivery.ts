import type { Environment } from '../observe/observation.ts';

/** `exhausted`: no attempt left. `held`: its endpoint is inactive or failed. `filtered`: its endpoint's filter did not want it. */
export const deliveryStatuses = ['pending', 'delivered', 'exhausted', 'held', 'filtered'] as const;
export type DeliveryStatus = (typeof deliveryStatuses)[number];

/** What became of a delivery by one attempt; `held`: its endpoint stopped; `resend_failed`: it stayed what it was. */
export const attemptOutcomes = ['delivered', 'retry', 'exhausted', 'held', 'resend_failed'] as const;
export type AttemptOutcome = (typeof attemptOutcomes)[number];

/** One event for one endpoint. */
export interface Delivery {
  readonly id: string;
  readonly eventId: string;
  readonly eventName: string;
  readonly environment: Environment;
  /** Row id of the endpoint. */
  readonly endpointId: string;
  readonly webhookId: string;
  readonly status: DeliveryStatus;
  /** Whether a worker has it at this moment. */
  readonly inFlight: boolean;
  /** Null unless it waits for its next attempt. */
  readonly nextAttemptAt: Date | null;
  readonly attemptsCount: number;
  readonly lastAttemptAt: Date | null;
  readonly lastResponseStatus: number | null;
  readonly lastErrorClass: string | null;
  /** When it became delivered, exhausted or filtered. */
  readonly settledAt: Date | null;
  readonly createdAt: Date;
}

/** One request and how it was answered. */
export interface DeliveryAttempt {
  /** From 1. */
  readonly attemptNumber: number;
  readonly startedAt: Date;
  readonly durationMs: number;
  readonly outcome: AttemptOutcome;
  readonly responseStatus: number | null;
  /** At most 16 KiB, read as UTF-8. */
  readonly responseBody: string | null;
  readonly errorClass: string | null;
  readonly errorMessage: string | null;
}

export interface DeliveryWithAttempts extends Delivery {
  /** The first one first. */
  readonly attempts: readonly DeliveryAttempt[];
}
