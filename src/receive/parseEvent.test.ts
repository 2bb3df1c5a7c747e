import { readdirSync, readFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { describeWithShared, examplesFolder } from '../../test/support/besideCheckout.ts';
import { type ParsedEvent, parseEvent } from './parseEvent.ts';

const parse = (json: string | Uint8Array): ParsedEvent =>
  parseEvent(typeof json === 'string' ? Buffer.from(json) : json, 'sandbox');

const factsOf = (data: string) => parse(`{"type":"transaction_updated","data":${data}}`).facts;

const noFacts = {
  id: undefined,
  status: undefined,
  createdAt: undefined,
  updatedAt: undefined,
  customerId: undefined,
  externalCustomerId: undefined,
  externalTransactionId: undefined,
  result: undefined,
  rejectType: undefined,
};

describeWithShared("MoonPay's example payloads", () => {
  /** File, the type to send it with when it comes without its envelope, and our name. */
  const expected = [
    ['buy_transaction_pending_with_stages.data.json', 'transaction_updated', 'transaction.updated'],
    ['identity_check_clear.data.json', 'identity_check_updated', 'customer.kyc_completed'],
    ['identity_check_clear_old.data.json', 'identity_check_updated', 'customer.kyc_completed'],
    ['identity_check_rejected_escalated_old.data.json', 'identity_check_updated', 'customer.kyc_rejected'],
    ['identity_check_rejected_retry.data.json', 'identity_check_updated', 'customer.kyc_rejected'],
    ['sell_transaction_created.docs-partial.json', undefined, 'sell_transaction.created'],
    ['sell_transaction_requote_required.json', undefined, 'sell_transaction.requote_required'],
    ['sell_transaction_updated_completed.docs-joined.json', undefined, 'sell_transaction.completed'],
    ['sell_transaction_waitingForDeposit.data.json', 'sell_transaction_updated', 'sell_transaction.updated'],
    ['transaction_created.docs-partial.json', undefined, 'transaction.completed'],
    ['transaction_failed.docs-joined.json', undefined, 'transaction.failed'],
    ['transaction_failed_early.reduced.json', undefined, 'transaction.failed'],
    ['transaction_updated_completed.reduced.json', undefined, 'transaction.completed'],
  ] as const;

  test('are all in this table', () => {
    const files = readdirSync(examplesFolder).filter((file) => file.endsWith('.json'));
    expect(expected.map(([file]) => file).toSorted()).toEqual(files.toSorted());
  });

  test.each(expected)('%s', (file, bareType, name) => {
    const content = readFileSync(new URL(file, examplesFolder), 'utf8');
    const json = bareType === undefined ? content : `{"type":"${bareType}","data":${content}}`;
    const event = parse(json);
    expect(event).toMatchObject({ name, isHandled: true, hasEnvelope: true, jsonText: json });
    expect(event.facts.id).toEqual(expect.any(String));
    expect(event.entity?.type).toBe(name.startsWith('customer.') ? 'customer' : 'transaction');
  });

  test.each(expected.filter(([, type]) => type === 'identity_check_updated'))(
    '%s without its envelope is the same event',
    (file, type, name) => {
      const content = readFileSync(new URL(file, examplesFolder), 'utf8');
      const bare = parse(content);
      const enveloped = parse(`{"type":"${type}","data":${content}}`);
      expect(bare).toMatchObject({ name, providerType: type, hasEnvelope: false, jsonText: content });
      expect(bare).toEqual({ ...enveloped, hasEnvelope: false, jsonText: content });
    },
  );
});

test('reads every fact of a transaction', () => {
  const event = parse(
    JSON.stringify({
      type: 'transaction_updated',
      externalCustomerId: 'root-1',
      data: {
        id: 'tx-1',
        status: 'pending',
        createdAt: '2026-02-13T10:30:00.000Z',
        updatedAt: '2026-02-13T12:45:00.5+01:00',
        customerId: 'mp-1',
        externalTransactionId: 'order-7',
      },
    }),
  );
  expect(event).toMatchObject({
    providerType: 'transaction_updated',
    kind: 'buy',
    name: 'transaction.updated',
    dedupeKey: 'sandbox:transaction_updated:tx-1:2026-02-13T12:45:00.5+01:00',
    entity: { type: 'transaction', id: 'tx-1' },
  });
  expect(event.facts).toEqual({
    ...noFacts,
    id: 'tx-1',
    status: 'pending',
    createdAt: new Date('2026-02-13T10:30:00Z'),
    updatedAt: new Date('2026-02-13T11:45:00.500Z'),
    customerId: 'mp-1',
    externalCustomerId: 'root-1',
    externalTransactionId: 'order-7',
  });
});

test.each([
  ['at the root', { externalCustomerId: 'c' }, {}],
  ['in data', {}, { externalCustomerId: 'c' }],
  ['at both places', { externalCustomerId: 'c' }, { externalCustomerId: 'c' }],
  ['at the root, null in data', { externalCustomerId: 'c' }, { externalCustomerId: null }],
  ['in data, null at the root', { externalCustomerId: null }, { externalCustomerId: 'c' }],
])('finds externalCustomerId %s', (_, root, data) => {
  const event = parse(JSON.stringify({ type: 'transaction_updated', ...root, data }));
  expect(event.facts.externalCustomerId).toBe('c');
});

describe('the text for jsonb', () => {
  test('keeps white space, key order, digits, escapes and duplicate keys', () => {
    const json = '{ "data":{"b":950.0,"a":0.123456789012345678,\n"a":1.50}, "type":"transaction\\u005fupdated" }';
    expect(parse(json)).toMatchObject({ jsonText: json, name: 'transaction.updated' });
  });

  test.each([
    ['nested 10,000 deep', `{"type":"chargeback","data":{"a":${'['.repeat(10_000)}${']'.repeat(10_000)}}}`],
    ['with NUL', '{"type":"chargeback","data":{"a":"\\u0000"}}'],
    ['with half of a surrogate pair', '{"type":"chargeback","data":{"a":"\\ud83d"}}'],
  ])('is null for JSON %s, which is named all the same', (_, json) => {
    expect(parse(json)).toMatchObject({ jsonText: null, name: 'moonpay.chargeback', providerType: 'chargeback' });
  });

  test.each([
    ['nothing', ''],
    ['no JSON', '{"type":'],
    ['a byte order mark', '\ufeff{"type":"chargeback"}'],
    ['invalid UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
    ['a surrogate in UTF-8', Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22)],
  ])('is null for %s', (_, body) => {
    const event = parse(body);
    expect(event).toEqual({
      providerType: '',
      kind: 'other',
      name: 'moonpay.unknown',
      isHandled: false,
      hasEnvelope: false,
      jsonText: null,
      dedupeKey: expect.stringMatching(/^sandbox:sha256:[0-9a-f]{64}$/),
      entity: undefined,
      facts: noFacts,
    });
  });

  test.each(['null', '7', '"text"', '[{"type":"chargeback"}]', '{}'])(
    'is the text of %s, an event without facts',
    (json) => {
      expect(parse(json)).toMatchObject({
        jsonText: json,
        name: 'moonpay.unknown',
        hasEnvelope: false,
        facts: noFacts,
      });
    },
  );
});

describe('odd envelopes', () => {
  test('the type keeps its white space, the name does not', () => {
    const event = parse('{"type":"transaction_updated ","data":{"id":"a","status":"completed ","updatedAt":"b"}}');
    expect(event).toMatchObject({
      providerType: 'transaction_updated ',
      name: 'transaction.completed',
      dedupeKey: 'sandbox:transaction_updated:a:b',
    });
    expect(event.facts.status).toBe('completed');
  });

  test('an unknown type is unhandled, and its id is of an unknown entity', () => {
    expect(parse('{"type":"brand_new","data":{"id":"a"}}')).toMatchObject({
      kind: 'other',
      name: 'moonpay.brand_new',
      isHandled: false,
      entity: { type: 'unknown', id: 'a' },
    });
  });

  test('without data.id there is no entity, and the body is hashed', () => {
    const event = parse('{"type":"transaction_created","data":{"updatedAt":"b"}}');
    expect(event).toMatchObject({ name: 'transaction.created', isHandled: true, entity: undefined });
    expect(event.dedupeKey).toMatch(/^sandbox:sha256:/);
  });

  test('without data the facts are looked for at the root', () => {
    const event = parse('{"type":"transaction_updated","id":"a","status":"failed","data":null}');
    expect(event).toMatchObject({ name: 'transaction.failed', hasEnvelope: false, entity: { id: 'a' } });
  });

  test('a transaction without its envelope is not taken for an identity check', () => {
    const event = parse('{"id":"a","customerId":"b","status":"completed","walletAddress":"0x"}');
    expect(event).toMatchObject({ providerType: '', name: 'moonpay.unknown', facts: { id: 'a', customerId: 'b' } });
  });

  test('data that is a list is no envelope', () => {
    expect(parse('{"type":"refunded","data":[{"id":"a"}]}')).toMatchObject({ hasEnvelope: false, facts: noFacts });
  });

  test('what has no customer is not taken for an identity check', () => {
    expect(parse('{"id":"a","result":"clear","status":"completed"}')).toMatchObject({ name: 'moonpay.unknown' });
  });

  test.each(['7', 'null', '{"a":1}', '["x"]', '"\\u0000"', '""'])('a type of %s is no type', (type) => {
    expect(parse(`{"type":${type},"data":{"id":"a"}}`)).toMatchObject({ providerType: '', name: 'moonpay.unknown' });
  });

  test('a swap is an entity of its own: it is no row of moonpay_transactions', () => {
    expect(parse('{"type":"swap_deposit_received","data":{"id":"s"}}').entity).toEqual({ type: 'swap', id: 's' });
  });

  test.each([
    ['{"id":"check-1","customerId":"m"}', { type: 'customer', id: 'm' }],
    ['{"id":"check-1"}', undefined],
  ])("an identity check belongs to MoonPay's customer alone: %s", (data, entity) => {
    const event = parse(`{"type":"identity_check_updated","externalCustomerId":"c","data":${data}}`);
    expect(event.entity).toEqual(entity);
  });
});

describe('facts', () => {
  test.each([
    ['"a"', 'a'],
    ['42', '42'],
    ['9007199254740991', '9007199254740991'],
    ['9007199254740993', undefined],
    ['1.5', undefined],
    ['""', undefined],
    ['null', undefined],
    ['{}', undefined],
    ['true', undefined],
    ['"a\\u0000"', undefined],
    ['"\\udc00"', undefined],
    [`"${'i'.repeat(500)}"`, 'i'.repeat(500)],
    [`"${'i'.repeat(501)}"`, undefined],
  ])('an id of %s', (json, id) => {
    expect(factsOf(`{"id":${json}}`).id).toBe(id);
  });

  test.each([
    ['"2026-02-13T10:30:00Z"', '2026-02-13T10:30:00.000Z'],
    ['"2026-02-13T10:30:00.123456Z"', '2026-02-13T10:30:00.123Z'],
    ['"2026-02-13T10:30:00-02:30"', '2026-02-13T13:00:00.000Z'],
    ['"2026-02-13T10:30:00"', undefined],
    ['"2026-02-13"', undefined],
    ['"13 Feb 2026 10:30 GMT"', undefined],
    ['"2026-13-45T99:99:99Z"', undefined],
    ['"0000-01-01T00:00:00Z"', undefined],
    ['1771000000000', undefined],
    ['null', undefined],
  ])('a time of %s', (json, iso) => {
    expect(factsOf(`{"updatedAt":${json}}`).updatedAt?.toISOString()).toBe(iso);
  });

  test('__proto__ neither pollutes nor passes for the payload', () => {
    const event = parse('{"__proto__":{"type":"chargeback","data":{"id":"a"},"polluted":1},"constructor":{"id":"b"}}');
    expect(event).toMatchObject({ name: 'moonpay.unknown', facts: noFacts });
    expect(factsOf('{"__proto__":{"id":"a"}}').id).toBeUndefined();
    expect(Reflect.get({}, 'polluted')).toBeUndefined();
  });
});

test('two deliveries of one event have one key, two bodies without id have two', () => {
  const delivery = (amount: number) =>
    parse(`{"type":"transaction_updated","data":{"id":"a","updatedAt":"b","amount":${amount}}}`).dedupeKey;
  expect(delivery(1)).toBe(delivery(2));
  expect(parse('{"type":"refunded","data":{"n":1}}').dedupeKey).not.toBe(
    parse('{"type":"refunded","data":{"n":2}}').dedupeKey,
  );
});

describe('never throws', () => {
  const wellFormed = expect.stringMatching(/^(?:moonpay|swap|transaction|sell_transaction|customer)\.[a-z0-9_]+$/);

  test('on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 500 }), (bytes) => {
        expect(parse(bytes).name).toEqual(wellFormed);
      }),
    );
  });

  test('on any JSON, also in the members that are read', () => {
    const anything = fc.jsonValue({ stringUnit: 'binary' });
    const event = fc.record({
      type: fc.oneof(anything, fc.constantFrom('transaction_updated', 'identity_check_updated', 'swap_x')),
      externalCustomerId: anything,
      data: fc.oneof(
        anything,
        fc.record({ id: anything, status: anything, updatedAt: anything, customerId: anything, result: anything }),
      ),
    });
    fc.assert(
      fc.property(fc.oneof(anything, event), (value) => {
        const json = JSON.stringify(value);
        const parsed = parse(json);
        expect(parsed.name).toEqual(wellFormed);
        expect([json, null]).toContain(parsed.jsonText);
      }),
    );
  });
});
