import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import type { Alert } from '../../src/compliance/alert.ts';
import type { NewAlertInput } from '../../src/compliance/alertInput.ts';
import { ComplianceService } from '../../src/compliance/ComplianceService.ts';
import { type AlertHit, listHits } from '../../src/compliance/hits.ts';
import { asUser, type User } from '../support/asUser.ts';
import { attempt, signedIn } from '../support/caller.ts';
import { meanwhile } from '../support/meanwhile.ts';
import { refusal } from '../support/refusal.ts';
import { forEachDatabase, type TestDatabase } from '../support/testDatabase.ts';

const officer: User = { sub: 'olga', role: 'compliance_officer' };
const analyst: User = { sub: 'anna', role: 'compliance_analyst' };

const screening = {
  provider: 'In house',
  list: 'OFAC SDN',
  listDate: '2026-11-20',
  query: { name: 'Jane Roe', dateOfBirth: '1980-02-01', country: 'AUT' },
  candidates: [{ entryId: '12345', name: 'ROE, Jane', score: 0.9, reasons: ['same name', 'born in the same year'] }],
};

forEachDatabase('taking alerts in', (open) => {
  let database: TestDatabase;
  let compliance: ComplianceService;

  beforeAll(async () => {
    database = await open();
    compliance = new ComplianceService({ database });
  });
  afterAll(() => database.close());

  const raise = (more: Partial<NewAlertInput> = {}, options = {}): Promise<Alert> =>
    compliance.createAlert({ alertType: 'aml_screening', severity: 'low', title: 'Found', ...more }, options);
  const hitsOf = ({ id }: Pick<Alert, 'id'>): Promise<AlertHit[]> => listHits(database.db, id);

  async function set(settings: string): Promise<void> {
    const { rows } = await sql<{ before: string }>`
      select format('band_medium = %s, band_high = %s, band_extreme = %s, correlation_days = %s, severity_floor_high = %L, severity_floor_extreme = %L',
        band_medium, band_high, band_extreme, correlation_days, severity_floor_high, severity_floor_extreme) as before
      from moonguard.alert_settings`.execute(database.db);
    const change = (settingList: string) =>
      sql`update moonguard.alert_settings set ${sql.raw(settingList)}`.execute(database.db);
    onTestFinished(async () => void (await change(rows[0]?.before ?? '')));
    await change(settings);
  }

  describe('hits', () => {
    test('are kept one by one, as they came, by whom', async () => {
      const dedupeKey = 'one by one';
      const alert = await raise({ dedupeKey, title: 'First', details: { list: 'a' } }, { actor: 'screening' });
      await raise(
        { dedupeKey, title: 'Second', severity: 'high', riskScore: 50, details: { list: 'b' } },
        { actor: 'anna' },
      );
      await raise({ dedupeKey, title: 'Third', correlationId: 'matter' }, { actor: 'otto' });

      expect(await hitsOf(alert)).toMatchObject([
        { title: 'Third', raisedBy: 'otto', isFirst: false, severity: 'low', correlationId: 'matter' },
        { title: 'Second', raisedBy: 'anna', isFirst: false, severity: 'high', riskScore: 50, details: { list: 'b' } },
        {
          title: 'First',
          raisedBy: 'screening',
          isFirst: true,
          severity: 'low',
          riskScore: null,
          details: { list: 'a' },
        },
      ]);
      expect(await compliance.getAlert(alert.id)).toMatchObject({
        title: 'First',
        severity: 'high',
        occurrenceCount: 3,
      });
    });

    test('that come at the same moment are all there', async () => {
      const dedupeKey = 'moment';
      const alerts = await Promise.all(Array.from({ length: 20 }, (_, i) => raise({ dedupeKey, title: `Hit ${i}` })));
      const [alert] = alerts;
      expect(new Set(alerts.map(({ id }) => id)).size).toBe(1);
      const titles = alert === undefined ? [] : (await hitsOf(alert)).map(({ title }) => title);
      expect(titles.toSorted()).toEqual(Array.from({ length: 20 }, (_, i) => `Hit ${i}`).toSorted());
      expect(await compliance.getAlert(alert?.id ?? '')).toMatchObject({ occurrenceCount: 20 });
    });

    test('never get into an alert that is decided at that moment', async () => {
      const dedupeKey = 'decided meanwhile';
      const decided = await raise({ dedupeKey });
      const further = await meanwhile(
        database,
        (transaction) => compliance.dismiss(decided.id, 'Nothing', { transaction }),
        () => raise({ dedupeKey, title: 'Again' }),
      );
      expect(further.id).not.toBe(decided.id);
      expect(await hitsOf(further)).toMatchObject([{ title: 'Again', isFirst: true }]);
      expect(await hitsOf(decided)).toHaveLength(1);
    });

    test('cannot be written onto a decided alert, changed or taken away', async () => {
      const { id } = await raise();
      await compliance.dismiss(id, 'Nothing');
      for (const [statement, error] of [
        [
          sql`insert into moonguard.alert_hits (alert_id, severity, title) values (${id}, 'low', 'More')`,
          { code: 'MG001' },
        ],
        [sql`update moonguard.alert_hits set title = 'Other'`, { constraint: 'alert_hits_append_only' }],
        [sql`delete from moonguard.alert_hits`, { constraint: 'alert_hits_append_only' }],
        [sql`truncate moonguard.alert_hits`, { constraint: 'alert_hits_append_only' }],
      ] as const) {
        await expect(statement.execute(database.db)).rejects.toMatchObject(error);
      }
    });
  });

  describe('risk', () => {
    test.each([
      [{ riskScore: 39 }, { riskLevel: 'low', severity: 'low' }],
      [{ riskScore: 40 }, { riskLevel: 'medium', severity: 'low' }],
      [{ riskScore: 70 }, { riskLevel: 'high', severity: 'medium' }],
      [{ riskScore: 85 }, { riskLevel: 'extreme', severity: 'high' }],
      [
        { riskScore: 85, severity: 'critical' },
        { riskLevel: 'extreme', severity: 'critical' },
      ],
      [
        { riskScore: 85, riskLevel: 'low' },
        { riskLevel: 'extreme', severity: 'high' },
      ],
      [
        { riskScore: 10, riskLevel: 'high' },
        { riskLevel: 'high', severity: 'medium' },
      ],
      [{}, { riskLevel: null, severity: 'low' }],
    ] as const)('of %o is %o', async (given, expected) => {
      expect(await raise(given)).toMatchObject(expected);
    });

    test('follows a score that is put right, and leaves a severity that somebody set', async () => {
      const { id } = await raise({ riskScore: 90 });
      const update = (change: string) =>
        sql`update moonpay_compliance_alerts set ${sql.raw(change)} where id = ${id}`.execute(database.db);
      await update("severity = 'low'");
      expect(await compliance.getAlert(id)).toMatchObject({ severity: 'low', riskLevel: 'extreme' });
      await update('risk_score = 20');
      expect(await compliance.getAlert(id)).toMatchObject({ severity: 'low', riskLevel: 'low' });
      await update("risk_level = 'high'");
      expect(await compliance.getAlert(id)).toMatchObject({ severity: 'medium', riskLevel: 'high' });
    });

    test('goes by the bands and floors of the settings, for what is not decided', async () => {
      const scored = await raise({ riskScore: 60 });
      const given = await raise({ riskScore: 60, riskLevel: 'extreme' });
      const decided = await raise({ riskScore: 60 });
      await compliance.dismiss(decided.id, 'Nothing');
      await set("band_high = 60, severity_floor_high = 'critical'");

      expect(await compliance.getAlert(scored.id)).toMatchObject({ riskLevel: 'high', severity: 'critical' });
      expect(await compliance.getAlert(given.id)).toMatchObject({ riskLevel: 'extreme' });
      expect(await compliance.getAlert(decided.id)).toMatchObject({ riskLevel: 'medium', severity: 'low' });
      expect(await raise({ riskScore: 60 })).toMatchObject({ riskLevel: 'high', severity: 'critical' });
    });
  });

  test('says what to do where nobody else does, by templates that can be changed', async () => {
    expect((await raise({ alertType: 'suspicious_activity' })).recommendedActions).toContain(
      'Do not tell the customer',
    );
    expect((await raise({ recommendedActions: ['Call the office'] })).recommendedActions).toEqual(['Call the office']);
    await asUser(database, officer, (transaction) =>
      sql`update moonguard.alert_templates set recommended_actions = '{Ask Vienna}' where alert_type = 'address_verification'`.execute(
        transaction,
      ),
    );
    expect((await raise({ alertType: 'address_verification' })).recommendedActions).toEqual(['Ask Vienna']);
  });

  describe('over SQL', () => {
    const raiseSql = (alert: object, who: User) =>
      asUser(database, who, async (transaction) => {
        const { rows } = await sql<{ id: string; occurrence_count: number; severity: string }>`
          select * from moonguard.raise_alert(${JSON.stringify(alert)}::jsonb)`.execute(transaction);
        return rows[0];
      });

    test('is the same for everybody who may raise alerts; who is signed in goes into the history', async () => {
      const alert = {
        alert_type: 'aml_screening',
        title: 'Found',
        customer_id: 'over_sql',
        dedupe_key: 'over sql',
        risk_score: 75,
      };
      const first = await raiseSql(alert, officer);
      expect(await compliance.getAlert(first?.id ?? '')).toMatchObject({
        severity: 'medium',
        riskLevel: 'high',
        entityType: 'customer',
        entityId: 'over_sql',
        recommendedActions: expect.arrayContaining([expect.any(String)]),
      });
      // A hit of an analyst counts on the alert of somebody else, whom he may not disturb otherwise.
      await compliance.assign(first?.id ?? '', 'otto');
      expect(await raiseSql({ ...alert, severity: 'critical' }, analyst)).toMatchObject({
        id: first?.id,
        occurrence_count: 2,
        severity: 'critical',
      });
      expect((await hitsOf({ id: first?.id ?? '' })).map(({ raisedBy }) => raisedBy)).toEqual(['anna', 'olga']);
      expect((await compliance.getTimeline(first?.id ?? ''))[0]).toMatchObject({ actor: 'olga', action: 'created' });
    });

    test.each([
      ['auditor', '42501'],
      ['developer', '42501'],
    ])('is refused to the %s', async (role, code) => {
      const call = `select * from moonguard.raise_alert('{"alert_type": "aml_screening", "title": "Found"}')`;
      expect(await attempt(database, signedIn(role), call)).toMatchObject({ code });
    });

    test.each([
      [
        { sevrity: 'high', status: 'open' },
        'moonpay_compliance_alerts_unknown_field',
        'an alert has no sevrity, status',
      ],
      [{ alert_type: 'bogus' }, 'moonpay_compliance_alerts_alert_type_check', 'alert_type'],
      [{ severity: 'urgent' }, 'moonpay_compliance_alerts_severity_check', 'severity'],
      [{ risk_score: 101 }, 'moonpay_compliance_alerts_risk_score_check', 'risk_score'],
      [{ risk_level: 'huge' }, 'moonpay_compliance_alerts_risk_level_check', 'risk_level'],
      [{ screening_results: { score: 1 } }, 'moonpay_compliance_alerts_screening_results_check', 'not as documented'],
      [
        { screening_results: [{ ...screening, candidates: [{ name: 'Jane', score: 7, reasons: [] }] }] },
        'moonpay_compliance_alerts_screening_results_check',
        'not as documented',
      ],
    ])('refuses %o', async (wrong, constraint, message) => {
      const alert = { alert_type: 'aml_screening', title: 'Found', ...wrong };
      await expect(raiseSql(alert, officer)).rejects.toMatchObject({
        constraint,
        message: expect.stringContaining(message),
      });
    });
  });

  describe('results of a screening', () => {
    test('are one list of searches, and name what was found', async () => {
      const one = await raise({ screeningResults: screening });
      expect(one).toMatchObject({
        screeningResults: [screening],
        fingerprint: expect.stringMatching(/^screening:[0-9a-f]{64}$/),
      });
      const newerIssue = await raise({ screeningResults: [{ ...screening, listDate: '2026-11-21' }] });
      expect(newerIssue.fingerprint).toBe(one.fingerprint);
      const otherEntry = { entryId: '99', name: 'ROE, Jan', score: 0.7, reasons: ['similar name'] };
      const other = await raise({ screeningResults: { ...screening, candidates: [otherEntry] } });
      expect(other.fingerprint).not.toBe(one.fingerprint);
      expect((await raise({ screeningResults: screening, fingerprint: 'mine' })).fingerprint).toBe('mine');
      expect((await raise({ screeningResults: { ...screening, candidates: [] } })).fingerprint).toBeNull();
    });

    test.each([
      ['screeningResults.0.provider', { ...screening, provider: undefined }],
      ['screeningResults.0.listDate', { ...screening, listDate: 'yesterday' }],
      ['screeningResults.0.query.name', { ...screening, query: {} }],
      [
        'screeningResults.0.candidates.0.score',
        { ...screening, candidates: [{ ...screening.candidates[0], score: 90 }] },
      ],
      ['screeningResults.0.hits', { ...screening, hits: 3 }],
      ['screeningResults', []],
      ['screeningResults', 'clear'],
    ])('name %s where it is wrong', async (field, screeningResults) => {
      const input = JSON.parse(JSON.stringify({ screeningResults }));
      expect(await refusal(raise(input))).toMatchObject({ code: 'alert_invalid', field });
    });
  });

  describe('correlation', () => {
    const related = async (...alerts: readonly Alert[]): Promise<string[][]> => {
      const nameOf = new Map(alerts.map(({ alertId }, i) => [alertId, String(i)]));
      const rows = await Promise.all(alerts.map(({ id }) => compliance.getAlert(id)));
      return rows.map(({ relatedAlerts }) => relatedAlerts.map((alertId) => nameOf.get(alertId) ?? alertId).toSorted());
    };

    test.each([
      ['customer', { customerId: 'shared_customer' }],
      ['wallet', { walletAddress: '0xshared' }],
      ['wallet, in the details', { details: { walletAddress: '0xdetails' } }],
      ['transaction', { transactionId: 'shared_tx' }],
      ['correlation id', { correlationId: 'shared_matter' }],
      ['correlation id, in the metadata', { metadata: { correlationId: 'older_matter' } }],
    ])('links alerts of the same %s, both ways, at no cost of their version', async (kind, same) => {
      const one = await raise({ ...same, alertType: 'risk_threshold' });
      const other = await raise(same);
      const stranger = await raise({ customerId: `not of the ${kind}` });
      expect(await related(one, other, stranger)).toEqual([['1'], ['0'], []]);
      expect((await compliance.getAlert(one.id)).version).toBe(one.version);
      expect(await compliance.startReview(one.id, { expectedVersion: one.version })).toMatchObject({
        status: 'in_review',
      });
    });

    test('goes by when it happened, within the days of the settings', async () => {
      const day = 86_400_000;
      const at = (days: number) => ({ customerId: 'window', triggeredAt: new Date(Date.UTC(2026, 0, 1) + days * day) });
      const late = await raise(at(60));
      const early = await raise(at(0));
      const between = await raise(at(30));
      expect(await related(early, between, late)).toEqual([['1'], ['0', '2'], ['1']]);

      await set('correlation_days = 0');
      expect((await raise(at(30))).relatedAlerts).toEqual([]);
    });

    test('links the five newest of each kind', async () => {
      const alerts: Alert[] = [];
      for (let i = 0; i < 12; i++) {
        alerts.push(await raise({ customerId: 'busy', triggeredAt: new Date(Date.UTC(2026, 5, 1, 0, i)) }));
      }
      const last = await raise({ customerId: 'busy', triggeredAt: new Date(Date.UTC(2026, 5, 1, 1)) });
      expect(last.relatedAlerts.toSorted()).toEqual(
        alerts
          .slice(7)
          .map(({ alertId }) => alertId)
          .toSorted(),
      );
    });

    test('does not wait for somebody who works on the other alert: the schedule completes the link', async () => {
      const one = await raise({ customerId: 'locked' });
      const other = await meanwhileWithoutWaiting(
        (transaction) => compliance.assign(one.id, 'anna', { transaction }),
        () => raise({ customerId: 'locked' }),
      );
      if (database.kind === 'postgres') expect(await related(one, other)).toEqual([[], ['0']]);
      await sql`select moonguard.repair_alert_links()`.execute(database.db);
      expect(await related(one, other)).toEqual([['1'], ['0']]);
    });

    test('finds alerts that were raised at the same moment and could not see each other', async () => {
      const one = await database.transaction(async (transaction) => {
        const first = await raise({ customerId: 'same_moment' }, { transaction });
        if (database.kind === 'postgres') await raise({ customerId: 'same_moment', title: 'Other' });
        return first;
      });
      if (database.kind === 'embedded') await raise({ customerId: 'same_moment', title: 'Other' });
      const { items } = await compliance.listAlerts({ customerId: 'same_moment' });
      const other = items.find(({ title }) => title === 'Other') ?? one;
      const later = sql`select moonguard.repair_alert_links(now() + interval '2 minutes')`;
      for (const _ of ['one direction', 'the other']) await later.execute(database.db);
      expect(await related(one, other)).toEqual([['1'], ['0']]);
    });

    test('does not bring back a link that somebody took away meanwhile', async () => {
      const one = await raise({ customerId: 'unlinked' });
      const other = await meanwhileWithoutWaiting(
        (transaction) => compliance.assign(one.id, 'anna', { transaction }),
        () => raise({ customerId: 'unlinked' }),
      );
      await compliance.unlink(one.id, other.id);
      await sql`select moonguard.repair_alert_links()`.execute(database.db);
      expect(await related(one, other)).toEqual([[], []]);
    });

    /** Runs `second` to its end while the transaction of `first` is open; one after the other on the one session of the embedded database. */
    async function meanwhileWithoutWaiting<T>(
      first: (transaction: TestDatabase['db']) => Promise<unknown>,
      second: () => Promise<T>,
    ): Promise<T> {
      if (database.kind === 'embedded') {
        await database.transaction(first);
        return second();
      }
      return database.transaction(async (transaction) => {
        await first(transaction);
        return second();
      });
    }
  });
});
