import type { Json } from '../database/schema.generated.ts';
import type { Environment } from '../observe/observation.ts';
import type { DeliverySettings } from './deliverySettings.ts';
import type { RetryPolicy } from './retryPolicy.ts';

/**
 * `inactive`: switched off by somebody. `suspended`: failing, being probed. `failed`: given up. Deliveries of inactive
 * and failed endpoints are held.
 */
export const endpointStatuses = ['active', 'inactive', 'suspended', 'failed'] as const;
export type EndpointStatus = (typeof endpointStatuses)[number];

/** Whether nothing is sent to endpoints of this status. */
export function isStopped(status: EndpointStatus): boolean {
  return status === 'inactive' || status === 'failed';
}

/** One step of an endpoint's history, whoever took it and by whatever means. */
export interface EndpointChange {
  /** Proven by it: `audit.prove(id)`. */
  readonly id: string;
  readonly at: Date;
  readonly actor: string;
  /** `secret`: it got a new one; `removed`: the row itself. */
  readonly action: 'created' | 'changed' | 'secret' | 'removed';
  /** The columns that changed, as they were. Of headers, which may hold credentials, only the names. */
  readonly before: Json;
  /** The columns that changed, as they became; a header is `set`, or `changed`. */
  readonly after: Json;
}

/** A row of moonpay_webhook_config. Its secret is in no field. */
export interface WebhookEndpoint {
  readonly id: string;
  /** Name for people and programs; every method takes it in the place of the id. */
  readonly webhookId: string;
  readonly url: string;
  readonly environment: Environment;
  /** Event names, `transaction.*` or `*`. */
  readonly events: readonly string[];
  readonly status: EndpointStatus;
  readonly statusReason: string | null;
  readonly statusChangedAt: Date;
  readonly isActive: boolean;
  /** Of the payload contract, for the receiver's use. */
  readonly version: string | null;
  readonly description: string | null;
  readonly retryPolicy: RetryPolicy;
  /** Sent with every delivery. */
  readonly headers: Readonly<Record<string, string>>;
  readonly deliverySettings: DeliverySettings;
  /** CEL; only events for which it is true are sent. */
  readonly filter: string | null;
  /** What the sender shows to the receiver (mTLS): see `setClientCertificate`. */
  readonly clientCertificateId: string | null;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly lastDeliveryAttempt: Date | null;
  readonly lastSuccessfulDelivery: Date | null;
  readonly lastFailureReason: string | null;
  readonly deliveryAttemptsCount: number;
  readonly successfulDeliveriesCount: number;
  readonly failedDeliveriesCount: number;
  /** Since the last success. */
  readonly consecutiveFailuresCount: number;
  readonly createdBy: string | null;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly deletedAt: Date | null;
}
