import type { Db } from '../../database/database.ts';
import type { Delivery } from '../delivery.ts';
import { selectDeliveries } from './selectDeliveries.ts';

export function findDelivery(db: Db, deliveryId: string): Promise<Delivery | undefined> {
  return selectDeliveries(db).where('d.id', '=', deliveryId).executeTakeFirst();
}
