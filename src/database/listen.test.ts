import { Client } from 'pg';
import { inject, onTestFinished, test } from 'vitest';
import { startProxy } from '../../test/support/cuttableProxy.ts';
import { observed, withDeadline } from '../../test/support/signals.ts';
import { PostgresListener } from './listen.ts';

test('a connection whose other end is gone without a word is noticed and replaced', async () => {
  const proxy = await startProxy(inject('postgresUrl'));
  onTestFinished(() => proxy.stop());
  const { observe, next } = observed();
  const config = { connectionString: proxy.url, connectionTimeoutMillis: 200 };
  const listener = new PostgresListener(config, observe, { heartbeatMs: 50 });
  onTestFinished(() => listener.close());
  let heard = Promise.withResolvers<string>();
  await listener.listen('somebody', (payload) => heard.resolve(payload));

  proxy.silence();
  await next((o) => o.type === 'database.listen_lost' && o.reason === 'the server does not answer any more');
  proxy.restore();
  await next(({ type }) => type === 'database.listen_restored');

  heard = Promise.withResolvers();
  const client = new Client(inject('postgresUrl'));
  await client.connect();
  await client.query(`notify somebody, 'hello'`);
  await client.end();
  await withDeadline(heard.promise, () => 'the notification');
});
