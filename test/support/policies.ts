import { sql } from 'kysely';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { asActor } from '../../src/database/asActor.ts';
import type { Database } from '../../src/database/database.ts';
import { databaseErrorReport } from '../../src/database/databaseError.ts';
import type { PolicyDocument } from '../../src/policy/document.ts';
import { PolicyService } from '../../src/policy/PolicyService.ts';
import type { PolicyVersion } from '../../src/policy/policyVersion.ts';

export function policyService(database: Database): PolicyService {
  return new PolicyService({ database, compliance: new ComplianceService({ database }) });
}

/** Saves a document, or text of JSON or YAML, and makes it active. */
export async function publishPolicy(database: Database, document: PolicyDocument | string): Promise<PolicyVersion> {
  const { versions } = policyService(database);
  const { policyId, version } = await versions.saveDraft(document, { actor: 'author' });
  return versions.publish(policyId, version, { actor: 'publisher' });
}

/** What a client of SQL does, in somebody's name. */
export async function writeAs(database: Database, actor: string, statement: string): Promise<void> {
  await database.transaction((transaction) =>
    asActor(transaction, actor, () => sql.raw(statement).execute(transaction)),
  );
}

/** The constraint that refuses it; `nothing` when it is carried out. */
export function refusedAs(database: Database, actor: string, statement: string): Promise<string | undefined> {
  return writeAs(database, actor, statement).then(
    () => 'nothing',
    (error: unknown) => databaseErrorReport(error).constraint,
  );
}
