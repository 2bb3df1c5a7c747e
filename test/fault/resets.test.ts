import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { expect, onTestFinished, test } from 'vitest';
import { listen } from '../../src/http/listen.ts';
import { openTestDatabase } from '../support/testDatabase.ts';
import { startMember, untilReported } from './cluster.ts';
import { acknowledgedBodies } from './eventStream.ts';
import { further, startLoad } from './load.ts';

const EVENTS = 300;

test('a receiver resets connections at random moments: every event is delivered, and after its answer none comes again', {
  timeout: 180_000,
}, async () => {
  const database = await openTestDatabase('postgres');
  onTestFinished(() => database.close());
  const receiver = await startResettingReceiver();
  const member = await startMember({ databaseUrl: database.url });
  const { webhooks } = member.moonguard;
  const { id: webhookId } = await webhooks.createWebhook({
    url: receiver.url,
    events: ['*'],
    environment: 'sandbox',
    retryPolicy: { initial_delay_ms: 10, max_delay_ms: 100, max_attempts: 100 },
  });
  const { stream, end } = startLoad([member]);
  await further(stream, EVENTS);
  const events = await end();
  await untilReported(member, 'delivery.delivered', events);

  expect(receiver.answered.toSorted()).toEqual([...acknowledgedBodies(stream).keys()].toSorted());
  expect(receiver.cameAfterAnswer).toEqual([]);
  expect(receiver.resets).toEqual(new Map(moments.map((moment) => [moment, expect.any(Number)])));
  const { items } = await webhooks.listDeliveries({ webhookId, limit: 200 });
  for (const { id } of items) {
    const { attempts } = await webhooks.getDelivery(id);
    const [last, ...failed] = attempts.toReversed();
    expect(last).toMatchObject({ outcome: 'delivered', responseStatus: 200, errorClass: null });
    const expected = { outcome: 'retry', errorClass: 'connection_reset' };
    expect(failed).toEqual(failed.map(() => expect.objectContaining(expected)));
  }
});

/** When a connection is reset. */
const moments = [
  'on connecting',
  'before the body is read',
  'before the answer',
  'after the headers',
  'in the answer',
] as const;

interface ResettingReceiver {
  readonly url: string;
  /** `webhook-id`s of the requests that got their whole answer, in the order they got it. */
  readonly answered: readonly string[];
  /** Of requests that came after an answer to the same event. */
  readonly cameAfterAnswer: readonly string[];
  /** How often at each moment. */
  readonly resets: ReadonlyMap<string, number>;
}

async function startResettingReceiver(): Promise<ResettingReceiver> {
  const answered: string[] = [];
  const cameAfterAnswer: string[] = [];
  const resets = new Map<string, number>();
  /** One in ten, at each moment. */
  const strikes = (moment: (typeof moments)[number]): boolean => {
    if (randomInt(10) > 0) return false;
    resets.set(moment, (resets.get(moment) ?? 0) + 1);
    return true;
  };
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { socket } = request;
    const id = String(request.headers['webhook-id']);
    if (answered.includes(id)) cameAfterAnswer.push(id);
    if (strikes('before the body is read')) return void socket.resetAndDestroy();
    await buffer(request);
    if (strikes('before the answer')) return void socket.resetAndDestroy();
    response.writeHead(200, { 'content-length': 10 });
    response.flushHeaders();
    if (strikes('after the headers')) return void socket.resetAndDestroy();
    response.write('12345');
    if (strikes('in the answer')) return void socket.resetAndDestroy();
    response.end('67890');
    await once(response, 'close');
    answered.push(id);
  };
  const server = createServer((request, response) => void answer(request, response));
  server.on('connection', (socket) => {
    if (strikes('on connecting')) socket.resetAndDestroy();
  });
  const url = await listen(server, 0, '127.0.0.1');
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return { url, answered, cameAfterAnswer, resets };
}
