import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

export interface ProviderKeyCounts {
  readonly sandbox: number;
  readonly production: number;
}

/** Keys in the table; those of the settings come on top. */
export async function readProviderKeyCounts(db: Db): Promise<ProviderKeyCounts> {
  const { rows } = await sql<ProviderKeyCounts>`
    select count(*) filter (where environment = 'sandbox') as sandbox,
      count(*) filter (where environment = 'production') as production
    from moonguard.provider_keys
  `.execute(db);
  return rows[0] ?? { sandbox: 0, production: 0 };
}
