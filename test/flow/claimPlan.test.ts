import { Client } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openTestDatabase, type TestPostgres } from '../support/testDatabase.ts';

const SETTLED = 100_000;
const ENDPOINTS = 20;
const PENDING_EACH = 50;

let database: TestPostgres;
/** With auto_explain: the plans of what runs inside functions come as notices. */
let client: Client;
let notices: string[] = [];
beforeAll(async () => {
  database = await openTestDatabase('postgres');
  client = new Client(database.url);
  await client.connect();
  client.on('notice', ({ message }) => notices.push(message ?? ''));
  await client.query(`
    load 'auto_explain';
    set auto_explain.log_min_duration = 0;
    set auto_explain.log_nested_statements = on;
    set auto_explain.log_level = notice;
    insert into moonpay_webhook_config (url, environment, events)
    select 'https://example.com/' || place, 'sandbox', '{*}' from generate_series(1, ${ENDPOINTS}) place;
    with event as (
      insert into moonpay_webhook_events (id, event_type, event_name, event_data, raw_body, signature, environment, dedupe_key, sequence)
      select moonguard.uuid_v7(), 'transaction_updated', 'transaction.updated', '{}', '{}', '', 'sandbox', place::text, nextval('moonguard.event_sequence')
      from generate_series(1, ${PENDING_EACH}) place returning id, sequence
    )
    insert into moonguard.deliveries (event_id, endpoint_id, event_sequence)
    select event.id, endpoint.id, event.sequence from event cross join moonpay_webhook_config endpoint;`);
  await client.query('vacuum (analyze) moonguard.deliveries, moonpay_webhook_events, moonpay_webhook_config');
}, 60_000);
afterAll(async () => {
  await client.end();
  await database.close();
});

/** Claims in a transaction that is rolled back; the plans of its statements, and how many pages they touched. */
async function explainClaim(): Promise<{ claimed: number; pages: number; plans: string }> {
  notices = [];
  await client.query('begin');
  const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: Record<string, number> }] }>(`
    explain (analyze, buffers, format json)
    select delivery from moonguard.claim_deliveries(1000, 1000, '{}', 1000, gen_random_uuid(), 1000) where endpoint is null`);
  await client.query('rollback');
  const plan = rows[0]?.['QUERY PLAN'][0].Plan ?? {};
  const pages = (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0);
  return { claimed: plan['Actual Rows'] ?? 0, pages, plans: notices.join('\n') };
}

test(`a claim costs the same beside ${SETTLED.toLocaleString('en')} settled deliveries as beside none`, async () => {
  // The first one in a session plans and fills caches.
  await explainClaim();
  const empty = await explainClaim();
  await client.query(`
    insert into moonguard.deliveries (event_id, endpoint_id, event_sequence, status, settled_at)
    select gen_random_uuid(), endpoint.id, place, 'delivered', now()
    from generate_series(1, ${SETTLED / ENDPOINTS}) place cross join moonpay_webhook_config endpoint`);
  await client.query('vacuum (analyze) moonguard.deliveries');
  await explainClaim();
  const beside = await explainClaim();

  for (const { claimed, plans } of [empty, beside]) {
    expect(claimed).toBe(ENDPOINTS * PENDING_EACH);
    expect(plans).toMatch(/Index (Only )?Scan using deliveries_due_idx on deliveries due/);
    expect(plans).toMatch(/Index (Only )?Scan using deliveries_due_idx on deliveries d/);
    expect(plans).not.toMatch(/(Seq|Bitmap Heap) Scan on deliveries/);
  }
  expect(beside.pages).toBeLessThan(empty.pages * 1.2);
});
