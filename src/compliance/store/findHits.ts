import type { Selectable } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { MoonguardAlertHits } from '../../database/schema.generated.ts';
import type { RiskLevel, Severity } from '../alert.ts';

/** Columns that constraints hold to a closed list. */
interface HitWords {
  severity: Severity;
  risk_level: RiskLevel | null;
}

export type HitRow = Omit<Selectable<MoonguardAlertHits>, keyof HitWords> & HitWords;

/** The newest first. */
export async function findHits(db: Db, alertRowId: string, limit: number): Promise<HitRow[]> {
  return db
    .selectFrom('moonguard.alert_hits')
    .selectAll()
    .$narrowType<HitWords>()
    .where('alert_id', '=', alertRowId)
    .orderBy('hit_number', 'desc')
    .limit(limit)
    .execute();
}
