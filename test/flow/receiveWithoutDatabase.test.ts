import { describe, expect, test } from 'vitest';
import { connectDatabase } from '../../src/database/connect.ts';
import { buyEvent, webhookRequest } from '../support/moonpay.ts';
import { receiverOn } from '../support/receivers.ts';

const url = 'http://localhost/webhooks/moonpay/sandbox';

describe('without a database', () => {
  test('the answer comes within the 5 s that MoonPay waits, also when nothing ever answers us', async () => {
    const database = await connectDatabase({ databaseUrl: 'postgresql://127.0.0.1:1/nothing' });
    const receiver = receiverOn(database, { providerKeys: { current: () => new Promise(() => {}) } });
    const response = await receiver.handle(webhookRequest(url, buyEvent({})), 'sandbox');
    expect(response.status).toBe(503);
    await database.close();
  });

  test('the answer is 503 with Retry-After, never 2xx or 4xx', async () => {
    const database = await connectDatabase({ databaseUrl: 'postgresql://127.0.0.1:1/nothing' });
    const receiver = receiverOn(database);
    const response = await receiver.handle(webhookRequest(url, buyEvent({})), 'sandbox');
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(await response.json()).toMatchObject({ error: { code: 'database_unavailable' } });
    await database.close();
  });
});
