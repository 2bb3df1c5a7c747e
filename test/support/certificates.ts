import { generate } from 'selfsigned';

export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

const day = 24 * 60 * 60 * 1000;

/** A certificate authority that nobody trusts until a test says so. */
export function createAuthority(name: string): Promise<Certificate> {
  return issue(name, {
    extensions: [
      { name: 'basicConstraints', cA: true, critical: true },
      { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
    ],
  });
}

/** A certificate for `host`, signed by `authority`, or by itself without one. */
export function createCertificate(
  host: string,
  { authority, expired = false }: { authority?: Certificate; expired?: boolean } = {},
): Promise<Certificate> {
  const now = Date.now();
  return issue(host, {
    notBeforeDate: new Date(now - 2 * day),
    notAfterDate: new Date(expired ? now - day : now + day),
    extensions: [{ name: 'subjectAltName', altNames: [{ type: 2, value: host }] }],
    ...(authority === undefined ? {} : { ca: authority }),
  });
}

async function issue(commonName: string, options: Parameters<typeof generate>[1]): Promise<Certificate> {
  const attributes = [{ name: 'commonName', value: commonName }];
  const { cert, private: key } = await generate(attributes, { keyType: 'ec', algorithm: 'sha256', ...options });
  return { cert, key };
}
