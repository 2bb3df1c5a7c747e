import type { Moonguard } from '../../moonguard.ts';
import { alertColumns } from '../commands/alerts.ts';
import { policyLogColumns } from '../commands/logs.ts';
import { print, printFields, printTable } from '../output.ts';

const NEWEST = 10;

/** What a visitor of the demo should have seen in the end. */
export async function printSummary(moonguard: Moonguard): Promise<void> {
  const { webhooks, compliance, policies } = moonguard;
  const { events, deliveries, alerts, policyLogRows } = await moonguard.inventory();
  print('', 'In the database', '');
  print(`${events} events, ${deliveries} deliveries, ${alerts} alerts, ${policyLogRows} policy log rows`);
  print('', 'Statistics: select * from get_moonpay_webhook_stats()', '');
  printFields(await webhooks.getStats());
  print('', `Alerts, the newest of ${alerts}`, '');
  printTable((await compliance.listAlerts({ limit: NEWEST })).items, alertColumns, 'None.');
  print('', `Policy log, the newest of ${policyLogRows} rows`, '');
  printTable((await policies.listLogs({ limit: NEWEST })).items, policyLogColumns, 'None.');
  print('');
}
