import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Environment } from '../../observe/observation.ts';
import type { EndpointStatus, WebhookEndpoint } from '../endpoint.ts';
import { endpointColumns } from './endpointColumns.ts';

export interface EndpointFilter {
  readonly environment?: Environment | undefined;
  readonly status?: EndpointStatus | undefined;
  readonly includeDeleted: boolean;
  /** Id of the endpoint with which the page before ended. */
  readonly cursor?: string | undefined;
}

/** Endpoints, the newest first. */
export function listEndpoints(db: Db, filter: EndpointFilter, limit: number): Promise<WebhookEndpoint[]> {
  const { environment, status, includeDeleted, cursor } = filter;
  let query = db.selectFrom('moonpay_webhook_config').select(endpointColumns);
  if (environment !== undefined) query = query.where('environment', '=', environment);
  if (status !== undefined) query = query.where('status', '=', status);
  if (!includeDeleted) query = query.where('deleted_at', 'is', null);
  if (cursor !== undefined) {
    query = query.where(
      sql<boolean>`(created_at, id) < (select created_at, id from public.moonpay_webhook_config where id = ${cursor})`,
    );
  }
  return query.orderBy('created_at', 'desc').orderBy('id', 'desc').limit(limit).execute();
}
