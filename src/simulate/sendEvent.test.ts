import { createHmac } from 'node:crypto';
import { text } from 'node:stream/consumers';
import { expect, test } from 'vitest';
import { httpServer } from '../../test/support/localServers.ts';
import { providerKeySecret } from '../receive/verifySignature.ts';
import { systemRuntime } from '../runtime.ts';
import { playScenario } from './scenario.ts';
import { sendEvent } from './sendEvent.ts';

const webhookKey = 'wk_test_0123456789abcdef';
const [event] = playScenario('buy', systemRuntime);
if (event === undefined) throw new Error('a purchase has events');

const targetAt = (url: string) => ({
  serverUrl: new URL(url).origin,
  environment: 'sandbox' as const,
  key: providerKeySecret('test', webhookKey).key,
  runtime: systemRuntime,
});

test('posts the bytes that it signs, as MoonPay does', async () => {
  const server = await httpServer(async (request, response) => {
    const body = await text(request);
    const header = String(request.headers['moonpay-signature-v2']);
    const [, t, s] = /^t=(\d+),s=([0-9a-f]{64})$/.exec(header) ?? [];
    const isRight = s === createHmac('sha256', webhookKey).update(`${t}.${body}`).digest('hex');
    const isTheRoute = request.method === 'POST' && request.url === '/webhooks/moonpay/sandbox';
    response.writeHead(isRight && isTheRoute ? 200 : 401).end(JSON.stringify({ event_id: 'e1', duplicate: true }));
  });
  expect(await sendEvent(event, targetAt(server.url))).toMatchObject({
    status: 200,
    eventId: 'e1',
    duplicate: true,
    error: null,
  });
});

test('gives the code of a refusal, or nothing where something else answers', async () => {
  const refusing = await httpServer((_, response) =>
    response.writeHead(401).end(JSON.stringify({ error: { code: 'signature_mismatch' } })),
  );
  expect(await sendEvent(event, targetAt(refusing.url))).toMatchObject({
    status: 401,
    eventId: null,
    error: 'signature_mismatch',
  });
  const other = await httpServer((_, response) => response.writeHead(404).end('<html>'));
  expect(await sendEvent(event, targetAt(other.url))).toMatchObject({ status: 404, eventId: null, error: null });
});

test('says when nothing answers', async () => {
  const server = await httpServer(() => {});
  await server.close();
  await expect(sendEvent(event, targetAt(server.url))).rejects.toMatchObject({ code: 'server_unreachable' });
});
