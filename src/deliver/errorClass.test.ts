import { expect, test } from 'vitest';
import { type ErrorClass, errorClassOf } from './errorClass.ts';

/** As OpenSSL 3.0 and 3.5 name the alerts of servers that ask for a client certificate. */
test.each<[string, ErrorClass]>([
  ['ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED', 'tls_client_certificate'],
  ['ERR_SSL_TLSV1_ALERT_UNKNOWN_CA', 'tls_client_certificate'],
  ['ERR_SSL_SSLV3_ALERT_BAD_CERTIFICATE', 'tls_client_certificate'],
  ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', 'tls_client_certificate'],
  ['ERR_SSL_SSL/TLS_ALERT_UNSUPPORTED_CERTIFICATE', 'tls_client_certificate'],
  ['ERR_SSL_SSL/TLS_ALERT_HANDSHAKE_FAILURE', 'tls_other'],
  ['CERT_HAS_EXPIRED', 'tls_certificate_expired'],
  ['CERT_UNTRUSTED', 'tls_untrusted'],
])('%s is %s', (code, errorClass) => {
  expect(errorClassOf(Object.assign(new Error('refused'), { code }))).toBe(errorClass);
});
