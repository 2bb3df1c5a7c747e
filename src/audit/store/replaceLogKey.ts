import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';

/** Makes another key the one that the log is verified with. Belongs in a transaction that holds the log. */
export async function replaceLogKey(transaction: Db, verifierKey: string, handover: string | null): Promise<void> {
  await sql`
    with retired as (
      update moonguard.audit_keys set retired_at = now() where retired_at is null returning retired_at
    ), log as (
      update moonguard.audit_log
      set verifier_key = ${verifierKey}, checkpoint = ${handover}, signed_at = case when ${handover}::text is not null then now() end
      returning tree_size, date_trunc('minute', signed_at) as minute, checkpoint
    )
    insert into moonguard.audit_checkpoints (minute, tree_size, checkpoint)
    select minute, tree_size, checkpoint from log where checkpoint is not null
    on conflict (minute) do update set tree_size = excluded.tree_size, checkpoint = excluded.checkpoint
  `.execute(transaction);
  await sql`
    insert into moonguard.audit_keys (verifier_key, since, handover) values (${verifierKey}, clock_timestamp(), ${handover})
  `.execute(transaction);
}
