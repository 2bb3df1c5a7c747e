import { once } from 'node:events';
import { connect } from 'node:net';
import { expect, test } from 'vitest';
import { tcpServer } from '../../../test/support/localServers.ts';
import { ConnectionPool } from './ConnectionPool.ts';
import { Exchange } from './Exchange.ts';

test('a pool is of use while it has connections, and for a minute more', async () => {
  const { port, connections } = await tcpServer((socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
  });
  const pool = new ConnectionPool((onread, onConnect) => connect({ host: '127.0.0.1', port, onread }, onConnect), 1);
  const exchange = new Exchange('POST / HTTP/1.1\r\n\r\n', Buffer.alloc(0), 5000);
  pool.begin(exchange);
  await exchange.result;
  const [socket] = connections;
  if (socket === undefined) throw new Error('There was no connection.');
  const closed = once(socket, 'close');

  expect(pool.sweep(exchange.beganAtMs)).toBe(true);
  expect(socket.readyState).toBe('open');

  expect(pool.sweep(exchange.beganAtMs + 59_999)).toBe(true);
  await closed;
  expect(pool.sweep(exchange.beganAtMs + 60_001)).toBe(false);
});
