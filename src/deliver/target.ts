import { isLoopbackAddress, isPublicAddress, literalAddress } from './destination.ts';
import type { Server } from './http1/connect.ts';

/** Where a URL leads: parsing one and judging its address takes longer than signing a delivery. */
export interface Target {
  readonly server: Server;
  /** The lines of a request's head that depend on nothing else. */
  readonly requestLines: string;
  /** Set when its host is an address: no lookup will check it. */
  readonly literal: { readonly address: string; readonly isPublic: boolean; readonly isLoopback: boolean } | undefined;
}

/** Undefined when it is no URL, or neither of http nor of https. */
export function parseTarget(url: string): Target | undefined {
  const parsed = URL.parse(url);
  if (parsed === null || (parsed.protocol !== 'http:' && parsed.protocol !== 'https:')) return undefined;
  const { origin, host, hostname, pathname, search } = parsed;
  const isSecure = parsed.protocol === 'https:';
  const address = literalAddress(hostname);
  return {
    server: { origin, isSecure, host: address ?? hostname, port: Number(parsed.port) || (isSecure ? 443 : 80) },
    requestLines: `POST ${pathname}${search} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`,
    literal:
      address === undefined
        ? undefined
        : { address, isPublic: isPublicAddress(address), isLoopback: isLoopbackAddress(address) },
  };
}
