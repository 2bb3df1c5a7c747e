import type { Db } from '../../database/database.ts';

/** Secrets that SQL wrote and the program has not sealed yet, expired ones too. */
export function listUnsealedSecrets(db: Db): Promise<{ id: string; unsealed: string }[]> {
  return db
    .selectFrom('moonguard.endpoint_secrets')
    .select(['id', 'unsealed'])
    .where('unsealed', 'is not', null)
    .$narrowType<{ unsealed: string }>()
    .execute();
}
