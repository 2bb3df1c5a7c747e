import { databaseErrorReport } from '../database/databaseError.ts';
import type { ErrorCode, Problem } from '../errors.ts';
import { inputError } from '../input/parseInput.ts';

type Refusal = Problem & { readonly error?: ErrorCode };

/** What the named constraints of moonpay_webhook_config refuse, in the words that the service uses for the same. */
export const constraintProblems: Readonly<Record<string, Refusal>> = {
  moonpay_webhook_config_environment_check: {
    code: 'environment_unknown',
    field: 'environment',
    message: 'must be sandbox or production',
  },
  moonpay_webhook_config_status_check: {
    code: 'status_unknown',
    field: 'status',
    message: 'must be active, inactive, suspended or failed',
  },
  moonpay_webhook_config_is_active_check: {
    code: 'status_contradicts',
    field: 'isActive',
    message: 'must be true for the status active and false for every other',
  },
  moonpay_webhook_config_events_check: {
    code: 'events_empty',
    field: 'events',
    message: 'name at least one event, and no empty ones',
  },
  moonpay_webhook_config_url_check: {
    code: 'url_malformed',
    field: 'url',
    message: 'must be an absolute URL that begins with https:// or http://',
  },
  moonpay_webhook_config_url_https_check: {
    code: 'url_insecure',
    field: 'url',
    message: 'endpoints of production must use https',
  },
  moonpay_webhook_config_url_credentials_check: {
    code: 'url_credentials',
    field: 'url',
    message: 'must not contain a user name or password; use a header instead',
  },
  moonpay_webhook_config_url_private_check: {
    code: 'url_private',
    field: 'url',
    message: 'must lead to the public internet, not to a private or local address',
  },
  moonpay_webhook_config_headers_check: {
    code: 'headers_invalid',
    field: 'headers',
    message: 'names must be header names that Moonguard does not set itself, values text without CR or LF',
  },
  moonpay_webhook_config_retry_policy_check: {
    code: 'retry_policy_invalid',
    field: 'retryPolicy',
    message:
      'max_attempts is 1 to 100, delays are 0 to 604800000 ms with max_delay_ms not below initial_delay_ms, jitter is 0 to 1, backoff_strategy is exponential, linear or fixed',
  },
  moonpay_webhook_config_delivery_settings_check: {
    code: 'delivery_settings_invalid',
    field: 'deliverySettings',
    message:
      'timeout_ms is 100 to 60000, rate_limit_per_second above 0 or null, ordering none or entity, payload provider or envelope, verify_ssl true or false',
  },
  moonpay_webhook_config_metadata_check: {
    code: 'metadata_malformed',
    field: 'metadata',
    message: 'must be an object',
  },
  moonpay_webhook_config_filter_check: {
    code: 'filter_invalid',
    field: 'filter',
    message: 'must be a CEL expression of at most 4096 characters, or null',
  },
  moonpay_webhook_config_confidential_check: {
    code: 'events_confidential',
    field: 'events',
    message:
      'must name a compliance or policy event as before, or its deliveries would come into sight; delete it and create another endpoint',
  },
  moonpay_webhook_config_live_url_key: {
    error: 'webhook_duplicate',
    code: 'url_duplicate',
    field: 'url',
    message: 'another endpoint of this environment has this URL',
  },
  moonpay_webhook_config_webhook_id_key: {
    error: 'webhook_duplicate',
    code: 'webhook_id_duplicate',
    field: 'webhookId',
    message: 'another endpoint has this webhook_id',
  },
};

/**
 * The error that a caller gets for a row that the table refused; any other error comes back as it is. PostgreSQL's own
 * error is not attached: it quotes the row, whose headers may hold tokens.
 */
export function asEndpointError(error: unknown): unknown {
  const { constraint } = databaseErrorReport(error);
  const refusal = constraint === undefined ? undefined : constraintProblems[constraint];
  if (refusal === undefined) return error;
  const { error: code = 'webhook_invalid', ...problem } = refusal;
  return inputError(code, [problem]);
}
