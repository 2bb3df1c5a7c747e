import { readFileSync } from 'node:fs';
import type { EmptyDatabase } from './emptyDatabase.ts';

const query = readFileSync(new URL('schemaFacts.sql', import.meta.url), 'utf8');

/**
 * Everything that the catalogues say about our tables, views, functions and grants: one line for each fact, so that two
 * installations can be compared. Not in it: the order of columns, who owns something, and which months have partitions.
 */
export async function schemaFacts(database: EmptyDatabase): Promise<string[]> {
  const rows = await database.run(query);
  const facts = rows.map(({ fact }) =>
    String(fact).replaceAll(/policy_logs_\d{4,}_\d\d(?=\D|$)/g, 'policy_logs_MONTH'),
  );
  return [...new Set(facts)].toSorted((a, b) => (a < b ? -1 : 1));
}

/** What `facts` lacks of `wanted`, and what it has besides. */
export function compareFacts(
  facts: readonly string[],
  wanted: readonly string[],
): { missing: string[]; further: string[] } {
  const [has, wants] = [new Set(facts), new Set(wanted)];
  return { missing: wanted.filter((fact) => !has.has(fact)), further: facts.filter((fact) => !wants.has(fact)) };
}
