import { isAllowedAddress, literalAddress } from '../deliver/destination.ts';
import type { Problem } from '../errors.ts';
import type { Environment } from '../observe/observation.ts';

const longestUrl = 2048;

export interface EndpointUrlRules {
  readonly environment: Environment;
  /** Lets an endpoint of the sandbox be on this machine; no effect in production. */
  readonly allowLoopback: boolean;
}

/**
 * Checks the URL of an endpoint as far as that is possible without asking DNS (the sender does that at every
 * connection) and gives its normalised form.
 */
export function checkEndpointUrl(url: string, rules: EndpointUrlRules): { url: string } | { problem: Problem } {
  const parsed = URL.parse(url);
  if (parsed === null) return problem('url_malformed', 'not an absolute URL');
  if (parsed.protocol !== 'https:' && parsed.protocol !== 'http:') {
    return problem('url_scheme', 'must begin with https:// or http://');
  }
  if (parsed.protocol === 'http:' && rules.environment === 'production') {
    return problem('url_insecure', 'endpoints of production must use https');
  }
  if (parsed.username !== '' || parsed.password !== '') {
    return problem('url_credentials', 'must not contain a user name or password; use a header instead');
  }
  // The empty fragment of `https://host/#` is only to be seen in the href.
  if (parsed.href.includes('#')) return problem('url_fragment', 'must not contain a fragment (#)');
  if (parsed.href.length > longestUrl) return problem('url_too_long', `longer than ${longestUrl} characters`);
  if (!isAllowedHost(parsed.hostname, rules)) {
    return problem('url_private', 'must lead to the public internet, not to a private or local address');
  }
  return { url: parsed.href };
}

function problem(code: string, message: string): { problem: Problem } {
  return { problem: { code, field: 'url', message } };
}

/** `hostname` comes from URL, which writes every spelling of an IPv4 address (octal, 0x7f.1, 2130706433) as a.b.c.d. */
function isAllowedHost(hostname: string, rules: EndpointUrlRules): boolean {
  const allowLoopback = rules.allowLoopback && rules.environment === 'sandbox';
  const address = literalAddress(hostname);
  if (address !== undefined) return isAllowedAddress(address, { allowLoopback });
  const name = `.${hostname.replace(/\.$/, '')}`;
  if (name.endsWith('.localhost')) return allowLoopback;
  return !name.endsWith('.local') && !name.endsWith('.internal');
}
