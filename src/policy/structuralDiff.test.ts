import { expect, test } from 'vitest';
import type { PolicyDocument, Rule } from './document.ts';
import { structuralDiff } from './structuralDiff.ts';

const small: Rule = { id: 'small', when: 'true', outcome: 'allow' };
const large: Rule = { id: 'large', when: 'event.fiat.minor > 100', outcome: 'review' };
const document: PolicyDocument = {
  id: 'limits',
  name: 'Limits',
  type: 'transaction_limit',
  applies_to: { events: ['transaction.*'] },
  rules: [small, large],
};

test.each<[string, Partial<PolicyDocument>, unknown[]]>([
  ['nothing', {}, []],
  ['a value', { name: 'Other' }, [{ path: 'name', before: 'Limits', after: 'Other' }]],
  [
    'a list of words',
    { applies_to: { events: ['swap.*'] } },
    [{ path: 'applies_to.events', before: ['transaction.*'], after: ['swap.*'] }],
  ],
  [
    'a rule, by its id',
    { rules: [{ ...large, when: 'false' }, small] },
    [{ path: 'rules.large.when', before: 'event.fiat.minor > 100', after: 'false' }],
  ],
  ['a rule less', { rules: [large] }, [{ path: 'rules.small', before: small, after: undefined }]],
  ['the order alone', { rules: document.rules.toReversed() }, [{ path: 'rules' }]],
  ['something new', { log: 'hits' }, [{ path: 'log', before: undefined, after: 'hits' }]],
])('%s', (_, changes, expected) => {
  expect(structuralDiff(document, { ...document, ...changes })).toMatchObject(expected);
});

test.each<[string, unknown, unknown, unknown[]]>([
  ['values that are no objects', 1, 2, [{ path: '', before: 1, after: 2 }]],
  ['what was not there', {}, { limit: 1 }, [{ path: 'limit', before: undefined, after: 1 }]],
  ['a list whose members have no names', { a: [1] }, { a: [1, 2] }, [{ path: 'a', before: [1], after: [1, 2] }]],
  ['members of the same name', [{ id: 'a' }, { id: 'a' }], [{ id: 'a' }], [{ path: '' }]],
])('of any JSON: %s', (_, before, after, expected) => {
  expect(structuralDiff(before, after)).toMatchObject(expected);
});
