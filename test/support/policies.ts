import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import type { Database } from '../../src/database/database.ts';
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
