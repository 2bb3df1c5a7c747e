import type { Db } from '../database/database.ts';
import type { Json } from '../database/schema.generated.ts';
import type { RiskLevel, Severity } from './alert.ts';
import { findHits, type HitRow } from './store/findHits.ts';

/** A finding that an alert stands for: the one it was raised for, or a further one with its dedupe key. */
export interface AlertHit {
  readonly id: string;
  /** Whether the alert was raised for it. */
  readonly isFirst: boolean;
  readonly at: Date;
  readonly raisedBy: string;
  readonly severity: Severity;
  readonly riskScore: number | null;
  readonly riskLevel: RiskLevel | null;
  readonly title: string;
  readonly description: string | null;
  readonly details: Json;
  readonly screeningResults: Json | null;
  readonly source: string | null;
  readonly externalReference: string | null;
  readonly correlationId: string | null;
  readonly walletAddress: string | null;
  readonly fingerprint: string | null;
  readonly metadata: Json;
}

/** The hits of an alert as they came, the newest first; none of an alert from before Moonguard. */
export async function listHits(db: Db, alertRowId: string, limit = 200): Promise<AlertHit[]> {
  return (await findHits(db, alertRowId, limit)).map(decodeHit);
}

function decodeHit(row: HitRow): AlertHit {
  return {
    id: row.id,
    isFirst: row.is_first,
    at: row.at,
    raisedBy: row.raised_by,
    severity: row.severity,
    riskScore: row.risk_score,
    riskLevel: row.risk_level,
    title: row.title,
    description: row.description,
    details: row.details,
    screeningResults: row.screening_results,
    source: row.source,
    externalReference: row.external_reference,
    correlationId: row.correlation_id,
    walletAddress: row.wallet_address,
    fingerprint: row.fingerprint,
    metadata: row.metadata,
  };
}
