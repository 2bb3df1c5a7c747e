import { sql } from 'kysely';
import type { Environment } from '../../observe/observation.ts';
import type { DeliverySettings } from '../deliverySettings.ts';
import type { EndpointStatus } from '../endpoint.ts';
import type { RetryPolicy } from '../retryPolicy.ts';

/**
 * A row of moonpay_webhook_config as a WebhookEndpoint. The table's named checks say what the types of its columns do
 * not; a row from before Moonguard that breaks one of them is inactive, and shows what it holds.
 */
export const endpointColumns = [
  'id',
  'webhook_id as webhookId',
  sql<string>`url`.as('url'),
  sql<Environment>`environment`.as('environment'),
  sql<string[]>`events`.as('events'),
  sql<EndpointStatus>`status`.as('status'),
  'status_reason as statusReason',
  'status_changed_at as statusChangedAt',
  'is_active as isActive',
  'version',
  'description',
  sql<RetryPolicy>`retry_policy`.as('retryPolicy'),
  sql<Record<string, string>>`headers`.as('headers'),
  sql<DeliverySettings>`delivery_settings`.as('deliverySettings'),
  'filter',
  'client_certificate_id as clientCertificateId',
  sql<Record<string, unknown>>`metadata`.as('metadata'),
  'last_delivery_attempt as lastDeliveryAttempt',
  'last_successful_delivery as lastSuccessfulDelivery',
  'last_failure_reason as lastFailureReason',
  'delivery_attempts_count as deliveryAttemptsCount',
  'successful_deliveries_count as successfulDeliveriesCount',
  'failed_deliveries_count as failedDeliveriesCount',
  'consecutive_failures_count as consecutiveFailuresCount',
  'created_by as createdBy',
  'created_at as createdAt',
  'updated_at as updatedAt',
  'deleted_at as deletedAt',
] as const;
