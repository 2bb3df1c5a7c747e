/** Why an exchange came to no complete response. Stored with the attempt and shown to the endpoint's owner. */
export type ErrorClass =
  | 'timeout'
  | 'connection_refused'
  | 'connection_reset'
  | 'dns_failure'
  | 'tls_certificate_expired'
  | 'tls_hostname_mismatch'
  | 'tls_untrusted'
  /** The receiver asks for a client certificate, or does not accept ours. */
  | 'tls_client_certificate'
  | 'tls_other'
  | 'destination_refused'
  | 'protocol_error'
  | 'request_invalid'
  | 'other';

const classByCode: ReadonlyMap<string, ErrorClass> = new Map<string, ErrorClass>([
  ['destination_refused', 'destination_refused'],

  ['ETIMEDOUT', 'timeout'],

  ['ECONNREFUSED', 'connection_refused'],

  ['ECONNRESET', 'connection_reset'],
  ['ECONNABORTED', 'connection_reset'],
  ['EPIPE', 'connection_reset'],

  ['ENOTFOUND', 'dns_failure'],

  ['CERT_HAS_EXPIRED', 'tls_certificate_expired'],
  ['ERR_TLS_CERT_ALTNAME_INVALID', 'tls_hostname_mismatch'],
  ['DEPTH_ZERO_SELF_SIGNED_CERT', 'tls_untrusted'],
  ['SELF_SIGNED_CERT_IN_CHAIN', 'tls_untrusted'],
  ['UNABLE_TO_GET_ISSUER_CERT', 'tls_untrusted'],
  ['UNABLE_TO_GET_ISSUER_CERT_LOCALLY', 'tls_untrusted'],
  ['UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'tls_untrusted'],
  ['CERT_SIGNATURE_FAILURE', 'tls_untrusted'],
  ['CERT_UNTRUSTED', 'tls_untrusted'],
  ['CERT_REJECTED', 'tls_untrusted'],
  ['CERT_REVOKED', 'tls_untrusted'],
  ['INVALID_CA', 'tls_untrusted'],
]);

/** Of an error of a lookup, a socket or TLS. */
export function errorClassOf(error: Error): ErrorClass {
  const code = errorCode(error) ?? '';
  const known = classByCode.get(code);
  if (known !== undefined) return known;
  if (code.startsWith('EAI_')) return 'dns_failure';
  if (/^ERR_SSL_.*_ALERT_(CERTIFICATE_|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|UNKNOWN_CA)/.test(code)) {
    return 'tls_client_certificate';
  }
  if (/^(ERR_SSL_|ERR_TLS_|EPROTO|CERT_)/.test(code)) return 'tls_other';
  return 'other';
}

/** The code that Node or OpenSSL gave the error. */
export function errorCode(error: Error): string | undefined {
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
