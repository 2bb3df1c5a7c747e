import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface OpenFinding {
  readonly id: number;
  readonly tableName: string;
  readonly rowKey: string | null;
  readonly reason: string;
  readonly resolution: string;
}

/** What the installer left for somebody to look at. */
export async function findOpenFindings(db: Db): Promise<OpenFinding[]> {
  const { rows } = await sql<OpenFinding>`
    select id, table_name as "tableName", row_key as "rowKey", reason, resolution
    from moonguard.installation_findings where resolution like 'action needed:%' order by id
  `.execute(db);
  return rows;
}
