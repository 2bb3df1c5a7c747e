import { sql } from 'kysely';
import type { Db } from '../../database/database.ts';
import type { Position } from '../../input/page.ts';
import type { AlertRow, AlertWords } from '../alert.ts';
import type { AlertCondition, AlertOrder } from '../alertFilter.ts';
import { alertMatches } from './alertMatches.ts';

export interface AlertQuery {
  readonly conditions: readonly AlertCondition[];
  readonly order: AlertOrder;
  /** The last alert of the page before. */
  readonly after: Position | undefined;
  readonly limit: number;
}

/** `position` is the time it is ordered by, with all its digits: a Date has only milliseconds. */
export type ListedAlertRow = AlertRow & { readonly position: string };

const orders = {
  newest: { column: 'triggered_at', direction: 'desc', isAfter: sql`<` },
  raised: { column: 'created_at', direction: 'desc', isAfter: sql`<` },
  due: { column: 'due_at', direction: 'asc', isAfter: sql`>` },
} as const satisfies Record<AlertOrder, object>;

/** At most `limit`; what has the same time is in the order of its ids. */
export async function listAlerts(db: Db, { conditions, order, after, limit }: AlertQuery): Promise<ListedAlertRow[]> {
  const { column, direction, isAfter } = orders[order];
  let alerts = db
    .selectFrom('moonpay_compliance_alerts')
    .selectAll()
    .$narrowType<AlertWords>()
    .select(sql<string>`to_jsonb(${sql.ref(column)}) #>> '{}'`.as('position'))
    .where(alertMatches(conditions));
  if (after !== undefined) {
    alerts = alerts.where(
      sql<boolean>`(${sql.ref(column)}, id) ${isAfter} (${after.at}::timestamptz, ${after.id}::uuid)`,
    );
  }
  return alerts.orderBy(column, direction).orderBy('id', direction).limit(limit).execute();
}
