import { afterAll, beforeAll, expect, test } from 'vitest';
import { checkedWords } from '../../test/support/checkedWords.ts';
import { forEachDatabase, type TestDatabase } from '../../test/support/testDatabase.ts';
import { alertStatuses, alertTypes, deadlineSteps, decidedStatuses, riskLevels, severities } from './alert.ts';
import { timelineActions } from './timeline.ts';

forEachDatabase('the closed lists of alerts', (open) => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await open();
  });
  afterAll(() => database.close());

  test.each([
    ['moonpay_compliance_alerts', 'alert_type', alertTypes],
    ['moonpay_compliance_alerts', 'severity', severities],
    ['moonpay_compliance_alerts', 'status', alertStatuses],
    ['moonpay_compliance_alerts', 'risk_level', riskLevels],
    ['moonpay_compliance_alerts', 'proposed_status', decidedStatuses],
    ['moonpay_compliance_alerts', 'deadline_step', deadlineSteps],
    ['moonguard.alert_timeline', 'action', timelineActions],
  ])('%s.%s allows what the program knows', async (table, column, words) => {
    const constraint = `${table.replace('moonguard.', '')}_${column}_check`;
    expect(await checkedWords(database.db, table, constraint)).toEqual([...words].toSorted());
  });
});
