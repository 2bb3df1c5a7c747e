import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import { z } from 'zod';
import { parseInput } from '../input/parseInput.ts';

export interface ClientCertificateInput {
  /** PEM: the certificate, then those that signed it, if receivers need them. */
  readonly certificate: string;
  /** PEM, not encrypted. */
  readonly privateKey: string;
}

/** What can be shown of a client certificate. */
export interface ClientCertificateSummary {
  readonly id: string;
  /** Whom it is made out to, as `CN=moonguard, O=Example`. */
  readonly subject: string;
  readonly expiresAt: Date;
  readonly createdAt: Date;
}

export interface ParsedClientCertificate {
  /** PEM, nothing but the certificates. */
  readonly certificate: string;
  readonly privateKey: string;
  readonly subject: string;
  readonly expiresAt: Date;
}

/** Longer chains than any in use. */
const mostCharacters = 64 * 1024;
const pemCertificate = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g;

/** @throws MoonguardError webhook_invalid, naming what is wrong with either or with the two together */
export function parseClientCertificate(input: ClientCertificateInput, nowMs: number): ParsedClientCertificate {
  const pem = z.string().max(mostCharacters);
  const schema = z.strictObject({ certificate: pem, privateKey: pem }).transform((given, context) => {
    const refuse = (field: 'certificate' | 'privateKey', code: string, message: string) => {
      context.addIssue({ code: 'custom', path: [field], message, params: { code } });
    };
    const chain = parseChain(given.certificate);
    const leaf = chain?.[0];
    const key = parseKey(given.privateKey);
    if (leaf === undefined) refuse('certificate', 'certificate_malformed', 'must be one or more certificates in PEM');
    if (key === undefined) {
      refuse('privateKey', 'private_key_malformed', 'must be a private key in PEM that is not encrypted');
    }
    if (chain === undefined || leaf === undefined) return z.NEVER;
    if (leaf.validToDate.getTime() <= nowMs) {
      refuse('certificate', 'certificate_expired', `expired on ${leaf.validToDate.toISOString()}`);
    }
    if (leaf.validFromDate.getTime() > nowMs) {
      refuse('certificate', 'certificate_not_valid_yet', `is valid from ${leaf.validFromDate.toISOString()} on`);
    }
    if (key === undefined) return z.NEVER;
    if (!leaf.checkPrivateKey(key)) {
      refuse('privateKey', 'private_key_mismatch', 'is not the key of the first certificate');
      return z.NEVER;
    }
    const certificate = chain.map(String).join('');
    const privateKey = key.export({ type: 'pkcs8', format: 'pem' }).toString();
    const objection = objectionOfOpenSsl(certificate, privateKey);
    if (objection !== undefined) refuse('certificate', 'certificate_refused', objection);
    const subject = leaf.subject.split('\n').join(', ');
    return { certificate, privateKey, subject, expiresAt: leaf.validToDate };
  });
  return parseInput(schema, input, 'webhook_invalid');
}

/** Undefined when one of them cannot be read, or there is none. */
function parseChain(pem: string): readonly X509Certificate[] | undefined {
  const certificates = pem.match(pemCertificate) ?? [];
  try {
    return certificates.map((each) => new X509Certificate(each));
  } catch {
    return undefined;
  }
}

function parseKey(pem: string): KeyObject | undefined {
  try {
    return createPrivateKey(pem);
  } catch {
    return undefined;
  }
}

/** What would keep every connection from being made, as a key that is too short. */
function objectionOfOpenSsl(cert: string, key: string): string | undefined {
  try {
    createSecureContext({ cert, key });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
