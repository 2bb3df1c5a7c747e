import { type LookupAddress, type LookupOptions, lookup as systemLookup } from 'node:dns';
import { isIP, type LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';

/** A connection that was not made because it would have led to an address that is not public. */
class DestinationRefusedError extends Error {
  override readonly name = 'DestinationRefusedError';
  readonly code = 'destination_refused';
}

export interface DestinationRules {
  /** Lets 127.0.0.0/8 and ::1 through, for receivers on the developer's machine. */
  readonly allowLoopback: boolean;
}

/** The only IPv6 block that IANA has given out as global unicast; everything outside it is special or reserved. */
const globalUnicast = ipaddr.IPv6.parseCIDR('2000::/3');

/** Azure's virtual machines reach the host they run on, and its secrets, under this address out of the public space. */
const azureHost = '168.63.129.16';

/**
 * Whether an address in its usual spelling belongs to the public internet. Anything that carries an IPv4 address inside
 * (NAT64, 6to4, Teredo, IPv4-compatible) counts as not public, except the mapped form, which is judged as IPv4.
 */
export function isPublicAddress(ip: string): boolean {
  const address = parseAddress(ip);
  if (address === undefined || address.range() !== 'unicast' || address.toString() === azureHost) return false;
  return address instanceof ipaddr.IPv4 || address.match(globalUnicast);
}

export function isLoopbackAddress(ip: string): boolean {
  return parseAddress(ip)?.range() === 'loopback';
}

/** Whether a connection to this address may be made. */
export function isAllowedAddress(ip: string, { allowLoopback }: DestinationRules): boolean {
  return isPublicAddress(ip) || (allowLoopback && isLoopbackAddress(ip));
}

/** The address that a URL's host is, without the brackets of IPv6; undefined when the host is a name. */
export function literalAddress(hostname: string): string | undefined {
  const host = hostname.startsWith('[') ? hostname.slice(1, -1) : hostname;
  return isIP(host) === 0 ? undefined : host;
}

// Node's isIP first: it refuses the octal and hexadecimal spellings that ipaddr.js would read in its own way.
function parseAddress(ip: string) {
  return isIP(ip) === 0 ? undefined : ipaddr.process(ip);
}

type Resolved = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

/** Finds every address of a name, as `dns.lookup` with `all: true` does. */
export type Resolve = (hostname: string, options: LookupOptions & { all: true }, callback: Resolved) => void;

/**
 * A `lookup` for net.connect and tls.connect that gives out only checked addresses. The connection is made to exactly
 * these, so a name that changes its mind after the check gains nothing. One address that is not allowed refuses the
 * name: a mixed answer is an attack or a mistake. Literal addresses never reach a lookup; whoever connects checks them.
 */
export function guardedLookup(rules: DestinationRules, resolve: Resolve = systemLookup): LookupFunction {
  const resolveOnce = shareLookups(resolve);
  return (hostname, options, callback) => {
    resolveOnce(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const refused = addresses.find(({ address }) => !isAllowedAddress(address, rules));
      const [first] = addresses;
      if (first === undefined || refused !== undefined) {
        return callback(new DestinationRefusedError(`${hostname} resolves to ${refused?.address ?? 'nothing'}`), []);
      }
      if (options.all) return callback(null, addresses);
      callback(null, first.address, first.family);
    });
  };
}

/**
 * Gives connections that wait for the same name one lookup. The system has four threads for lookups: 64 connections to
 * one name whose DNS server hangs would keep every other endpoint waiting.
 */
function shareLookups(resolve: Resolve): Resolve {
  const waiting = new Map<string, Resolved[]>();
  return (hostname, options, callback) => {
    const key = `${hostname} ${options.family ?? 0}`;
    const others = waiting.get(key);
    if (others !== undefined) {
      others.push(callback);
      return;
    }
    const callbacks = [callback];
    waiting.set(key, callbacks);
    resolve(hostname, options, (error, addresses) => {
      waiting.delete(key);
      for (const each of callbacks) each(error, addresses);
    });
  };
}
