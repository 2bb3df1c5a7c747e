import { createHmac } from 'node:crypto';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  parseSignatureHeader,
  providerKeySecret,
  SIGNATURE_HEADER,
  signProviderBody,
  verifySignature,
} from './verifySignature.ts';

const webhookKey = 'wk_test_51H8zVb2nQeXk4pD';
const key = providerKeySecret('current', webhookKey);
const now = 1_700_000_000;
const json = '{"type":"transaction_updated",  "data":{"amount":1.0e2}}';
const body = Buffer.from(json);
// printf '1700000000.<body>' | openssl dgst -sha256 -hmac <webhookKey>
const digest = 'fec4583dbd431ab0b8014df96d0ebcb1da31d68702845f82f223400f17d79e45';
const header = `t=${now},s=${digest}`;

const hmac = (signed: string, secret = webhookKey) => createHmac('sha256', secret).update(signed);

function verify(over: Partial<Parameters<typeof verifySignature>[0]> = {}) {
  return verifySignature({ header, rawBody: body, keys: [key], nowMs: now * 1_000, toleranceSeconds: 300, ...over });
}

describe('an authentic request', () => {
  test('is accepted with the digest that another implementation makes', () => {
    expect(verify()).toEqual({ ok: true, keyId: 'current', timestamp: now });
  });

  test('signProviderBody makes the header that MoonPay would send', () => {
    expect(signProviderBody(body, key.key, now)).toBe(header);
  });

  test('is accepted under either key during a rotation, and the key is named', () => {
    const next = providerKeySecret('next', 'wk_test_7GtR2mUu0sLqYb9C');
    expect(verify({ keys: [key, next] })).toMatchObject({ ok: true, keyId: 'current' });
    const signedWithNext = signProviderBody(body, next.key, now);
    expect(verify({ keys: [key, next], header: signedWithNext })).toMatchObject({ ok: true, keyId: 'next' });
    expect(verify({ keys: [key], header: signedWithNext })).toEqual({ ok: false, code: 'signature_mismatch' });
  });

  test.each([
    ['fields in another order', `s=${digest},t=${now}`],
    ['unknown fields', `v=2,t=${now},sx,s=${digest},=x`],
    ['white space after the comma', `t=${now}, s=${digest}`],
    ['several digests, one of them right', `t=${now},s=${'0'.repeat(64)},s=${digest}`],
  ])('is accepted with %s', (_, variant) => {
    expect(verify({ header: variant })).toMatchObject({ ok: true });
  });

  test('with an empty body is accepted', () => {
    const empty = new Uint8Array();
    expect(verify({ rawBody: empty, header: signProviderBody(empty, key.key, now) })).toMatchObject({ ok: true });
  });
});

describe('the age', () => {
  const accepted = { ok: true, keyId: 'current', timestamp: now };
  const refused = { ok: false, code: 'timestamp_outside_tolerance' };
  test.each([
    [-300_001, refused],
    [-300_000, accepted],
    [300_000, accepted],
    [300_001, refused],
  ])('when the clock is %i ms off the timestamp', (offset, verdict) => {
    expect(verify({ nowMs: now * 1_000 + offset })).toEqual(verdict);
  });

  test('is judged by the tolerance given', () => {
    const nowMs = now * 1_000 + 11_000;
    expect(verify({ nowMs, toleranceSeconds: 11 })).toEqual(accepted);
    expect(verify({ nowMs, toleranceSeconds: 10 })).toEqual(refused);
  });

  test('is not told to a sender without the key', () => {
    expect(verify({ header: `t=1,s=${digest}` })).toEqual({ ok: false, code: 'signature_mismatch' });
  });
});

describe('mistakes that public integrations make', () => {
  const reserialised = JSON.stringify(JSON.parse(json));
  test.each([
    [
      'HMAC over re-serialised JSON',
      `t=${now},s=${hmac(`${now}.${reserialised}`).digest('hex')}`,
      'signature_mismatch',
    ],
    ['HMAC over the body without t', `t=${now},s=${hmac(json).digest('hex')}`, 'signature_mismatch'],
    ['base64 for hex', `t=${now},s=${hmac(`${now}.${json}`).digest('base64')}`, 'signature_malformed'],
    ['upper-case hex', `t=${now},s=${digest.toUpperCase()}`, 'signature_malformed'],
    ['the digest as the whole header', digest, 'signature_malformed'],
    ['a missing header', null, 'signature_missing'],
    ['an empty header', '', 'signature_malformed'],
    [
      'the sk_ key',
      `t=${now},s=${hmac(`${now}.${json}`, 'sk_test_51H8zVb2nQeXk4pD').digest('hex')}`,
      'signature_mismatch',
    ],
    ['an empty default key', `t=${now},s=${hmac(`${now}.${json}`, '').digest('hex')}`, 'signature_mismatch'],
    ['milliseconds, rightly signed', signProviderBody(body, key.key, now * 1_000), 'timestamp_in_milliseconds'],
    ['no check of the age', signProviderBody(body, key.key, now - 86_400), 'timestamp_outside_tolerance'],
    ['the signature of a GET', `t=${now},s=${hmac(`${now}.?a=1`).digest('hex')}`, 'signature_mismatch'],
  ])('%s is refused', (_, wrong, code) => {
    expect(verify({ header: wrong })).toEqual({ ok: false, code });
  });

  test('no key configured: nothing is accepted', () => {
    expect(verify({ keys: [] })).toEqual({ ok: false, code: 'provider_key_missing' });
    expect(verify({ keys: [], header: null })).toEqual({ ok: false, code: 'provider_key_missing' });
  });

  test('the wrong header name: the legacy header is not taken for the signature', () => {
    const request = new Request('http://localhost/', { headers: { 'Moonpay-Signature': header } });
    expect(verify({ header: request.headers.get(SIGNATURE_HEADER) })).toMatchObject({ code: 'signature_missing' });
  });
});

describe('the header', () => {
  test.each([
    ['without t', `s=${digest}`],
    ['without s', `t=${now}`],
    ['with two t', `t=${now},t=${now},s=${digest}`],
    ['sent twice', `${header}, ${header}`],
    ['with an empty t', `t=,s=${digest}`],
    ['with a negative t', `t=-${now},s=${digest}`],
    ['with a fraction in t', `t=${now}.5,s=${digest}`],
    ['with 11 digits in t', `t=0${now},s=${digest}`],
    ['with a digest that is too short', `t=${now},s=${digest.slice(1)}`],
    ['with a digest that is too long', `t=${now},s=${digest}0`],
    ['with a right and a malformed digest', `t=${now},s=${digest},s=x`],
    ['of more than 1 KiB', `${header},pad=${'x'.repeat(1_024 - header.length - 4)}`],
  ])('%s is malformed', (_, malformed) => {
    expect(verify({ header: malformed })).toEqual({ ok: false, code: 'signature_malformed' });
  });

  test('of exactly 1 KiB is read', () => {
    const longest = `${header},pad=${'x'.repeat(1_024 - header.length - 5)}`;
    expect(longest).toHaveLength(1_024);
    expect(verify({ header: longest })).toMatchObject({ ok: true });
  });

  test('t keeps its digits as they were signed', () => {
    expect(parseSignatureHeader(`t=0123,s=${digest}`)).toEqual({
      ok: true,
      t: '0123',
      digests: [Buffer.from(digest, 'hex')],
    });
  });
});

describe('for every body', () => {
  const timestamp = fc.integer({ min: 0, max: 9_999_999_999 });

  test('what is signed verifies', () => {
    fc.assert(
      fc.property(fc.uint8Array(), timestamp, (rawBody, t) => {
        const signed = signProviderBody(rawBody, key.key, t);
        expect(verify({ rawBody, header: signed, nowMs: t * 1_000 })).toMatchObject({ ok: true, timestamp: t });
      }),
    );
  });

  test('one bit changed in the body is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1 }), fc.nat(), fc.nat(7), (rawBody, position, bit) => {
        const signed = signProviderBody(rawBody, key.key, now);
        const changed = withBitFlipped(rawBody, position % rawBody.length, bit);
        expect(verify({ rawBody: changed, header: signed })).toEqual({ ok: false, code: 'signature_mismatch' });
      }),
    );
  });

  test('one bit changed in t or the digest is refused', () => {
    const valuePositions = [...header.matchAll(/\d(?!=)|[a-f]/g)].map((match) => match.index);
    fc.assert(
      fc.property(fc.constantFrom(...valuePositions), fc.nat(7), (position, bit) => {
        const changed = Buffer.from(withBitFlipped(Buffer.from(header), position, bit)).toString('latin1');
        expect(verify({ header: changed, toleranceSeconds: Number.POSITIVE_INFINITY }).ok).toBe(false);
      }),
      { numRuns: 1_000 },
    );
  });
});

describe('for every header', () => {
  const anyDigest = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Buffer.from(bytes).toString('hex'));
  /** Fields that are neither t nor s: they say nothing. */
  const unknownField = fc
    .tuple(fc.constantFrom('v', 'v1', 'T', 'S', 'ts', 'sig', 'é', ''), fc.constantFrom('', '1', '=', digest, 't=1'))
    .map(([name, value]) => `${name}=${value}`);
  const unknownFields = fc.array(unknownField, { maxLength: 4 });
  const otherDigests = fc.array(anyDigest, { maxLength: 4 });
  const places = fc.array(fc.nat(), { minLength: 12, maxLength: 12 });

  test('whatever stands around them, t and every s are read', () => {
    const t = fc.stringMatching(/^\d{1,10}$/);
    fc.assert(
      fc.property(
        t,
        fc.array(anyDigest, { minLength: 1, maxLength: 5 }),
        unknownFields,
        places,
        (time, all, more, at) => {
          const text = shuffled([`t=${time}`, ...all.map((each) => `s=${each}`), ...more], at).join(',');
          const parsed = parseSignatureHeader(text);
          expect(parsed).toMatchObject({ ok: true, t: time });
          const read = parsed.ok ? parsed.digests.map((each) => each.toString('hex')) : [];
          expect(read.toSorted()).toEqual(all.toSorted());
        },
      ),
    );
  });

  test('the right digest is found among others, and others alone are refused', () => {
    fc.assert(
      fc.property(otherDigests, unknownFields, places, (others, more, at) => {
        const fields = [`t=${now}`, ...others.map((each) => `s=${each}`), ...more];
        expect(verify({ header: shuffled([...fields, `s=${digest}`], at).join(',') })).toMatchObject({ ok: true });
        const code = others.length === 0 ? 'signature_malformed' : 'signature_mismatch';
        expect(verify({ header: shuffled(fields, at).join(',') })).toEqual({ ok: false, code });
      }),
    );
  });

  test('a second t, the same or another, is malformed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.constant(String(now)), fc.string()), unknownFields, places, (second, more, at) => {
        const text = shuffled([`t=${now}`, `s=${digest}`, `t=${second}`, ...more], at).join(',');
        expect(verify({ header: text })).toEqual({ ok: false, code: 'signature_malformed' });
      }),
    );
  });

  test('no text makes the parser throw, and only the right time and digest are accepted', () => {
    const anyText = fc.string({ unit: 'binary', maxLength: 2_000 });
    const nearlyHeader = fc
      .array(fc.constantFrom('t', 's', '=', ',', ' ', 't=', ',s=', String(now), digest, 'é', '\0'), { maxLength: 12 })
      .map((parts) => parts.join(''));
    fc.assert(
      fc.property(fc.oneof(anyText, nearlyHeader), (text) => {
        const verdict = verify({ header: text });
        if (verdict.ok) expect(text).toMatch(new RegExp(`t=${now}.*s=${digest}|s=${digest}.*t=${now}`));
      }),
      { numRuns: 1_000 },
    );
  });
});

/** In an order that the numbers say. */
function shuffled<T>(items: readonly T[], order: readonly number[]): T[] {
  return items
    .map((item, place) => ({ item, rank: order[place] ?? 0 }))
    .toSorted((a, b) => a.rank - b.rank)
    .map(({ item }) => item);
}

function withBitFlipped(bytes: Uint8Array, position: number, bit: number): Uint8Array {
  return bytes.map((byte, at) => (at === position ? byte ^ (1 << bit) : byte));
}
