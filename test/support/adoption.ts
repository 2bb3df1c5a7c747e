import { readFileSync } from 'node:fs';
import type { EmptyDatabase, Row } from './emptyDatabase.ts';

/** SQL files of test/flow/fixtures, one after the other. */
export function fixtures(...files: string[]): string {
  return files.map((file) => readFileSync(new URL(`../flow/fixtures/${file}`, import.meta.url), 'utf8')).join('\n');
}

const tables = ['moonpay_webhook_config', 'moonpay_compliance_alerts', 'moonpay_policy_logs'] as const;

export type Contents = Map<string, Record<string, unknown>>;

/** Every row of the three tables as JSON, by the last four digits of its id. */
export async function contentsOf(database: EmptyDatabase): Promise<Contents> {
  const rows = await database.run(
    tables
      .map((table) => `select right(id::text, 4) as key, to_jsonb(t) as row from public.${table} t`)
      .join(' union all '),
  );
  return new Map(rows.map(({ key, row }) => [String(key), Object.fromEntries(Object.entries(row ?? {}))]));
}

/** The columns of earlier rows that are not what they were, with what they are. */
export function changes(before: Contents, after: Contents): Record<string, Row> {
  const changed = [...before].map(([key, row]) => {
    const now = after.get(key) ?? {};
    const columns = Object.keys(row).filter((column) => JSON.stringify(row[column]) !== JSON.stringify(now[column]));
    return [key, Object.fromEntries(columns.map((column) => [column, now[column]]))] as const;
  });
  return Object.fromEntries(changed.filter(([, columns]) => Object.keys(columns).length > 0));
}

export async function findings(database: EmptyDatabase, pattern: string): Promise<string[]> {
  const rows = await database.run(`
    select coalesce(right(row_key, 4), table_name) || ' ' || reason as finding from moonguard.installation_findings
    where resolution like '${pattern}' order by 1`);
  return rows.map(({ finding }) => String(finding));
}

export function byText(a: string, b: string): number {
  return a < b ? -1 : 1;
}
