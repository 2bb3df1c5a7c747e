import dns, { type LookupAddress } from 'node:dns';
import { syncBuiltinESMExports } from 'node:module';
import { isIPv6 } from 'node:net';
import { onTestFinished } from 'vitest';

/** What the system's resolver answers in this process: names under .example are the tests', all others are looked up. */

type Answered = (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void;

const answersTo = new Map<string, string[][]>();
const systemLookup = dns.lookup;

function lookup(name: string, ...rest: unknown[]): void {
  if (!name.endsWith('.example')) return void Reflect.apply(systemLookup, dns, [name, ...rest]);
  const callback = rest.at(-1) as Answered;
  const answers = answersTo.get(name) ?? [];
  const [addresses] = answers.length > 1 ? answers.splice(0, 1) : answers;
  if (addresses === undefined) {
    callback(Object.assign(new Error(`getaddrinfo ENOTFOUND ${name}`), { code: 'ENOTFOUND' }), []);
  } else {
    callback(
      null,
      addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 })),
    );
  }
}

// The sender takes the resolver when it is made, long after this.
Object.assign(dns, { lookup });
syncBuiltinESMExports();

/** Gives a name under .example these addresses for the rest of the test: one answer a lookup, the last one for good. */
export function resolveName(name: string, ...answers: string[][]): void {
  answersTo.set(name, answers);
  onTestFinished(() => void answersTo.delete(name));
}
