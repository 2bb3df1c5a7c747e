import { once } from 'node:events';
import { Agent, request } from 'node:http';
import { connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { observed } from '../../test/support/signals.ts';
import { type RunningServer, startServer } from './server.ts';

/** A server whose webhooks wait for `answer`. */
async function start(): Promise<{ server: RunningServer; received: Promise<void>; answer: () => void }> {
  const received = Promise.withResolvers<void>();
  const answered = Promise.withResolvers<void>();
  const handle = async (): Promise<Response> => {
    received.resolve();
    await answered.promise;
    return Response.json({ received: true });
  };
  const readiness = async () => ({ status: 'ready', database: 'ok', schema: 'current' }) as const;
  const server = await startServer({ webhooks: { handle }, readiness }, { host: '127.0.0.1', port: 0 });
  return { server, received: received.promise, answer: answered.resolve };
}

test('closing answers what is under way, ends kept-alive connections with it, and takes nothing new', async () => {
  const { server, received, answer } = await start();
  const agent = new Agent({ keepAlive: true });
  onTestFinished(() => agent.destroy());
  const idle = request(`${server.url}/healthz`, { agent }).end();
  const [healthy] = await once(idle, 'response');
  healthy.resume();

  const underWay = request(`${server.url}/webhooks/moonpay/sandbox`, { agent, method: 'POST' }).end('{}');
  await received;
  const closed = server.close();
  await expect(fetch(`${server.url}/healthz`)).rejects.toThrow('fetch failed');
  answer();
  const [response] = await once(underWay, 'response');
  expect(response.statusCode).toBe(200);
  expect(response.headers.connection).toBe('close');
  response.resume();
  await closed;
});

test('a request that never ends is cut off', async () => {
  const { server } = await start();
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  await once(socket, 'connect');
  socket.write('POST /webhooks/moonpay/sandbox HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\n{');
  const ended = once(socket, 'close');
  await server.close();
  await ended;
});

test('says that the address is taken', async () => {
  const { server } = await start();
  onTestFinished(() => server.close());
  const { port } = new URL(server.url);
  const second = startServer(
    {
      webhooks: { handle: async () => new Response() },
      readiness: async () => ({ status: 'ready', database: 'ok', schema: 'current' }),
    },
    { host: '127.0.0.1', port: Number(port) },
  );
  await expect(second).rejects.toMatchObject({ code: 'address_unavailable' });
});

test('an error nobody foresaw is answered 500 without its text, and reported with it', async () => {
  const signals = observed();
  const handle = () => Promise.reject(new Error('a secret detail'));
  const readiness = async () => ({ status: 'ready', database: 'ok', schema: 'current' }) as const;
  const server = await startServer(
    { webhooks: { handle }, readiness },
    { host: '127.0.0.1', port: 0, observe: signals.observe },
  );
  const response = await fetch(`${server.url}/webhooks/moonpay/sandbox`, { method: 'POST' });
  expect(response.status).toBe(500);
  expect(await response.text()).not.toContain('a secret detail');
  expect(await signals.next((o) => o.type === 'request.failed')).toMatchObject({ reason: 'a secret detail' });
  await server.close();
});
