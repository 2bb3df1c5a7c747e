import { once } from 'node:events';
import type { Server } from 'node:http';
import { MoonguardError } from '../errors.ts';

/**
 * @param port 0 lets the system choose
 * @returns the address as it can be called from this machine: http://127.0.0.1:3000
 * @throws MoonguardError address_unavailable
 */
export async function listen(server: Server, port: number, host: string): Promise<string> {
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (cause) {
    throw new MoonguardError('address_unavailable', cause instanceof Error ? cause.message : String(cause), { cause });
  }
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server listens on no port');
  const everywhere = address.address === '0.0.0.0' || address.address === '::';
  const name = everywhere ? '127.0.0.1' : address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return `http://${name}:${address.port}`;
}
