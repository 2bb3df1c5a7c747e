import type { FastifyInstance } from 'fastify';
import { Pool } from 'pg';
import { type ParsedEvent, parseEvent } from '../../src/receive/parseEvent.ts';
import {
  type ProviderKeySecret,
  providerKeySecret,
  SIGNATURE_HEADER,
  verifySignature,
} from '../../src/receive/verifySignature.ts';
import { systemRuntime } from '../../src/runtime.ts';
import { WEBHOOK_KEY } from '../product.ts';
import { measurePosts } from './measurePosts.ts';
import { checkStored, removeEvents } from './rows.ts';
import type { IngestVariant } from './scenario.ts';
import { storeInTransaction } from './storeInTransaction.ts';

/** What one would write by hand: Fastify 5 and a pool of 10, a transaction a request, its statements prepared by name. */
export const fastifyPg: IngestVariant = {
  name: 'fastify-pg',
  measure: async (round) => {
    const { database, server: databaseServer, events } = round;
    await removeEvents(database.db);
    const pool = new Pool({ connectionString: databaseServer?.url, max: 10 });
    const server = await createServer(pool, providerKeySecret('bench', WEBHOOK_KEY));
    try {
      const url = await server.listen({ host: '127.0.0.1', port: 0 });
      const measurement = await measurePosts(round, `${url}/webhooks/moonpay/sandbox`);
      await checkStored(database.db, events);
      return measurement;
    } finally {
      await server.close();
      await pool.end();
    }
  },
};

/** Verifies and parses with the product's own functions, as one would with a library. */
async function createServer(pool: Pool, key: ProviderKeySecret): Promise<FastifyInstance> {
  const { default: Fastify } = await import('fastify');
  const server = Fastify({ logger: false });
  // The signature is over the raw bytes.
  server.removeContentTypeParser('application/json');
  server.addContentTypeParser('application/json', { parseAs: 'buffer' }, (_request, body, done) => done(null, body));

  server.post<{ Body: Buffer }>('/webhooks/moonpay/sandbox', async (request, reply) => {
    const rawBody = request.body;
    const signature = request.headers[SIGNATURE_HEADER.toLowerCase()];
    const header = typeof signature === 'string' ? signature : null;
    const verdict = verifySignature({
      header,
      rawBody,
      keys: [key],
      nowMs: systemRuntime.now(),
      toleranceSeconds: 300,
    });
    if (!verdict.ok) return reply.code(401).send({ error: verdict.code });

    const parsed: ParsedEvent = parseEvent(rawBody, 'sandbox');
    const id = systemRuntime.newId();
    const stored = await storeInTransaction(pool, { id, rawBody, signature: header ?? '', parsed });
    return { received: true, event_id: stored.id, duplicate: stored.duplicate };
  });
  return server;
}
