import { connect } from 'node:net';
import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type RunningServer, startServer } from '../../src/http/server.ts';
import { createMoonguard, type Moonguard } from '../../src/moonguard.ts';
import { SIGNATURE_HEADER } from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { buyEvent, signatureOf, webhookKey } from '../support/moonpay.ts';
import { type Observed, observed, withDeadline } from '../support/signals.ts';
import { openTestDatabase, type TestDatabase } from '../support/testDatabase.ts';

/** The receive route under whatever a socket can carry: no 5xx but 503, no crash, and good webhooks go on. */

const BUDGET_MS = 4_000;
const path = '/webhooks/moonpay/sandbox';

let database: TestDatabase;
let moonguard: Moonguard;
let server: RunningServer;
let signals: Observed;

beforeAll(async () => {
  signals = observed();
  database = await openTestDatabase('postgres');
  moonguard = await createMoonguard({
    database,
    masterKey: Buffer.alloc(32, 7).toString('base64'),
    webhookKeys: { sandbox: [webhookKey] },
    maxBodyBytes: 65_536,
    observe: signals.observe,
  });
  server = await startServer(moonguard, { host: '127.0.0.1', port: 0, observe: signals.observe });
});
afterAll(async () => {
  await server.close();
  await moonguard.stop();
  await database.close();
});

/**
 * Sends the pieces, each when the one before is on its way, and gives what comes back. Hangs up when the server has
 * answered; at once, when it was left in the middle of a request and will not.
 */
async function converse(pieces: readonly Uint8Array[], isWhole: boolean): Promise<string> {
  const { hostname, port } = new URL(server.url);
  const socket = connect(Number(port), hostname);
  socket.setNoDelay(true);
  const answer: Buffer[] = [];
  const answered = new Promise<void>((resolve) => {
    socket.on('data', (chunk: Buffer) => {
      answer.push(chunk);
      resolve();
    });
  });
  // The server may hang up on nonsense while it is still being sent.
  socket.on('error', () => {});
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => resolve());
  });
  for (const piece of pieces) {
    if (!socket.writable) break;
    const { promise, resolve } = Promise.withResolvers<void>();
    socket.write(piece, () => resolve());
    await Promise.race([promise, closed]);
  }
  const explain = () => `no end of: ${Buffer.concat(pieces).toString('latin1').slice(0, 500)}`;
  if (isWhole) await withDeadline(Promise.race([answered, closed]), explain);
  socket.end();
  await withDeadline(closed, explain);
  return Buffer.concat(answer).toString('latin1');
}

function statusesIn(answer: string): number[] {
  return Array.from(answer.matchAll(/^HTTP\/1\.1 (\d{3})/gm), ([, status]) => Number(status));
}

const isRefusalOrStored = (status: number) => status < 500 || status === 503;

async function expectGoodWebhooksToGoOn(): Promise<void> {
  const body = Buffer.from(buyEvent({ id: systemRuntime.newId() }));
  const response = await fetch(`${server.url}${path}`, {
    method: 'POST',
    body,
    headers: { [SIGNATURE_HEADER]: signatureOf(body) },
  });
  expect(response.status).toBe(200);
  expect(signals.all.filter(({ type }) => type === 'request.failed')).toEqual([]);
}

const someBytes = fc.uint8Array({ maxLength: 3_000 }).map((bytes) => Buffer.from(bytes));
const deepJson = fc
  .tuple(fc.constantFrom('[', '{"a":'), fc.nat({ max: 20_000 }))
  .map(([open, levels]) => Buffer.from(open.repeat(levels)));
const json = fc.json({ maxDepth: 6 }).map((text) => Buffer.from(text));
const event = fc
  .record({ type: fc.anything(), data: fc.anything(), externalCustomerId: fc.anything() }, { requiredKeys: [] })
  .map((value) => {
    try {
      return Buffer.from(
        JSON.stringify(value, (_, member: unknown) => (typeof member === 'bigint' ? String(member) : member)),
      );
    } catch {
      return Buffer.from('{');
    }
  });
/** An event as MoonPay shapes it, with the wrong things in the right places. */
const nearlyEvent = fc
  .record({
    type: fc.oneof(
      fc.constantFrom('transaction_updated', 'sell_transaction_created', 'identity_check_updated'),
      fc.string({ unit: 'binary' }),
    ),
    data: fc.dictionary(
      fc.constantFrom(
        'id',
        'status',
        'updatedAt',
        'customerId',
        'externalTransactionId',
        'baseCurrency',
        'currency',
        'baseCurrencyAmount',
        'quoteCurrencyAmount',
        'feeAmount',
        'level',
        'result',
      ),
      fc.oneof(
        fc.string({ unit: 'binary' }),
        fc.double(),
        fc.jsonValue(),
        fc.constantFrom('completed', '2026-11-01T10:00:00.000Z', '9'.repeat(400), 1e308),
      ),
    ),
  })
  .map((value) => Buffer.from(JSON.stringify(value)));
const body = fc.oneof(someBytes, deepJson, json, event, nearlyEvent, fc.constant(Buffer.alloc(70_000, '7')));

const token = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,40}$/);
const header = fc.oneof(
  fc.tuple(token, fc.string({ unit: 'binary', maxLength: 60 })),
  fc.tuple(
    fc.constantFrom(
      SIGNATURE_HEADER,
      'content-encoding',
      'content-type',
      'expect',
      'host',
      'connection',
      'upgrade',
      'te',
      'cookie',
    ),
    fc.oneof(fc.string({ maxLength: 60 }), fc.constantFrom('100-continue', 'websocket', 'gzip', 'close', 't=1,s=2')),
  ),
  fc.tuple(
    token,
    fc.nat({ max: 40_000 }).map((length) => 'h'.repeat(length)),
  ),
);

/** Signed or not, with a Content-Length or in chunks, in odd pieces; sometimes with lies about any of it. */
const request = fc.record({
  method: fc.constantFrom('POST', 'POST', 'POST', 'POST', 'GET', 'PUT', 'OPTIONS', 'BREW'),
  path: fc.oneof(
    { weight: 4, arbitrary: fc.constant(path) },
    fc.webPath(),
    fc.constantFrom('/webhooks/moonpay/%', '//', `${path}?a=%zz`, '*', `${path}/../production`),
  ),
  body,
  isSigned: fc.boolean(),
  framing: fc.constantFrom('length', 'length', 'chunks', 'too long', 'too short', 'both', 'none'),
  headers: fc.array(header, { maxLength: 4 }),
  pieces: fc.integer({ min: 1, max: 12 }),
});

function bytesOf(given: typeof request extends fc.Arbitrary<infer Request> ? Request : never): Buffer {
  const { method, body: sent, isSigned, framing, headers } = given;
  const lengths = {
    length: sent.length,
    'too long': sent.length + 7,
    'too short': Math.max(0, sent.length - 7),
    both: sent.length,
  };
  const inChunks = framing === 'chunks' || framing === 'both';
  const head = [
    `${method} ${given.path} HTTP/1.1`,
    'host: localhost',
    ...(framing in lengths ? [`content-length: ${lengths[framing as keyof typeof lengths]}`] : []),
    ...(inChunks ? ['transfer-encoding: chunked'] : []),
    ...(isSigned ? [`${SIGNATURE_HEADER}: ${signatureOf(sent)}`] : []),
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ].join('\r\n');
  const payload = inChunks
    ? Buffer.concat([
        Buffer.from(`${sent.length.toString(16)}\r\n`),
        sent,
        Buffer.from(sent.length === 0 ? '\r\n' : '\r\n0\r\n\r\n'),
      ])
    : sent;
  return Buffer.concat([Buffer.from(`${head}\r\n\r\n`), payload]);
}

function cut(bytes: Buffer, pieces: number): Buffer[] {
  const length = Math.max(1, Math.ceil(bytes.length / pieces));
  return Array.from({ length: Math.ceil(bytes.length / length) }, (_, at) =>
    bytes.subarray(at * length, (at + 1) * length),
  );
}

/** Says how to see a failure again; the counterexample itself is up to 70 kB. */
function withinBudget<T>(share: number): fc.Parameters<T> {
  return {
    numRuns: 100_000,
    interruptAfterTimeLimit: BUDGET_MS * share,
    reporter: ({ failed, seed, counterexamplePath, errorInstance }) => {
      if (failed) throw new Error(`seed ${seed}, path ${counterexamplePath}`, { cause: errorInstance });
    },
  };
}

test('whatever is signed, framed and cut in whatever way', async () => {
  const seen = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(request, async (given) => {
      const statuses = statusesIn(await converse(cut(bytesOf(given), given.pieces), given.framing !== 'too long'));
      for (const status of statuses) seen.set(status, (seen.get(status) ?? 0) + 1);
      expect(statuses.filter((status) => !isRefusalOrStored(status))).toEqual([]);
    }),
    withinBudget(1),
  );
  // It was no waste of time: some were stored, some not signed, some not HTTP.
  expect([...seen.keys()]).toEqual(expect.arrayContaining([200, 400, 401, 413, 431]));
  await expectGoodWebhooksToGoOn();
}, 30_000);

test('bytes that are no HTTP at all', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(someBytes, { maxLength: 4 }), async (pieces) => {
      expect(statusesIn(await converse(pieces, false)).filter((status) => !isRefusalOrStored(status))).toEqual([]);
    }),
    withinBudget(0.5),
  );
  await expectGoodWebhooksToGoOn();
}, 30_000);
