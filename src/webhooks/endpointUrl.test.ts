import { describe, expect, test } from 'vitest';
import { checkEndpointUrl, type EndpointUrlRules } from './endpointUrl.ts';

const production: EndpointUrlRules = { environment: 'production', allowLoopback: false };
const sandbox: EndpointUrlRules = { environment: 'sandbox', allowLoopback: false };
const localSandbox: EndpointUrlRules = { environment: 'sandbox', allowLoopback: true };

function check(url: string, rules: EndpointUrlRules): string {
  const checked = checkEndpointUrl(url, rules);
  return 'url' in checked ? checked.url : checked.problem.code;
}

describe('checkEndpointUrl', () => {
  test.each([
    ['https://your-domain.com/webhooks/moonpay', 'https://your-domain.com/webhooks/moonpay'],
    ['HTTPS://Your-Domain.COM:443', 'https://your-domain.com/'],
    ['https://your-domain.com:8443/a?b=c d', 'https://your-domain.com:8443/a?b=c%20d'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    ['https://8.8.8.8/', 'https://8.8.8.8/'],
    ['https://[2606:4700::1111]/', 'https://[2606:4700::1111]/'],
    ['https://localhost.example.com/', 'https://localhost.example.com/'],
    ['https://mylocal/', 'https://mylocal/'],
  ])('%s is %s', (url, normalised) => expect(check(url, production)).toBe(normalised));

  test('allows http in the sandbox only', () => {
    expect(check('http://your-domain.com/', sandbox)).toBe('http://your-domain.com/');
    expect(check('http://your-domain.com/', production)).toBe('url_insecure');
  });

  test.each([
    ['', 'url_malformed'],
    ['your-domain.com/hook', 'url_malformed'],
    ['https://', 'url_malformed'],
    ['https://a b/', 'url_malformed'],
    ['https://[::1%25eth0]/', 'url_malformed'],
    ['https://256.1.1.1/', 'url_malformed'],
    ['ftp://your-domain.com/', 'url_scheme'],
    ['javascript:alert(1)', 'url_scheme'],
    ['file:///etc/passwd', 'url_scheme'],
    ['https://user@your-domain.com/', 'url_credentials'],
    ['https://:secret@your-domain.com/', 'url_credentials'],
    ['https://your-domain.com/#part', 'url_fragment'],
    ['https://your-domain.com/#', 'url_fragment'],
    [`https://your-domain.com/${'a'.repeat(2048 - 24 + 1)}`, 'url_too_long'],
    [`https://your-domain.com/${'ü'.repeat(1000)}`, 'url_too_long'],
  ])('%s is refused: %s', (url, code) => expect(check(url, production)).toBe(code));

  test('allows 2048 characters', () => {
    const url = `https://your-domain.com/${'a'.repeat(2048 - 24)}`;

    expect(check(url, production)).toBe(url);
  });

  const loopback = [
    'localhost',
    'LOCALHOST.',
    'app.localhost',
    '127.0.0.1',
    '127.1',
    '0177.1',
    '0x7f000001',
    '2130706433',
    '[::1]',
    '[::ffff:127.0.0.1]',
  ];
  const otherPrivate = [
    '10.0.0.1',
    '192.168.0.1',
    '169.254.169.254',
    '0.0.0.0',
    '0',
    '100.64.0.1',
    '[fd00::1]',
    '[fe80::1]',
    '[::]',
    '[::7f00:1]',
    '[64:ff9b::7f00:1]',
    '[2002:7f00:1::]',
    'printer.local',
    'printer.local.',
    'metadata.google.internal',
    'internal',
  ];

  test.each([...loopback, ...otherPrivate])('refuses %s', (host) => {
    expect(check(`https://${host}/`, production)).toBe('url_private');
    expect(check(`https://${host}/`, sandbox)).toBe('url_private');
    expect(check(`https://${host}/`, { environment: 'production', allowLoopback: true })).toBe('url_private');
  });

  test.each(loopback)('lets %s through for a sandbox that allows loopback', (host) => {
    expect(check(`http://${host}:8080/`, localSandbox)).toMatch(/^http:.*:8080\/$/);
  });

  test.each(otherPrivate)('refuses %s even where loopback is allowed', (host) => {
    expect(check(`http://${host}:8080/`, localSandbox)).toBe('url_private');
  });

  test('says which field it is about', () => {
    expect(checkEndpointUrl('x', production)).toMatchObject({ problem: { field: 'url', code: 'url_malformed' } });
  });
});
