import { expect, test } from 'vitest';
import { providerKeyProblem } from './providerKeyFormat.ts';

test.each([
  ['wk_test_51H8zVb2nQeXk4pD', 'sandbox'],
  ['wk_live_51H8zVb2nQeXk4pD', 'production'],
  ['51H8zVb2nQeXk4pD', 'production'],
] as const)('%s is accepted for %s', (key, environment) => {
  expect(providerKeyProblem(key, environment)).toBeUndefined();
});

test.each([
  ['', 'sandbox', 'empty'],
  ['                    ', 'sandbox', 'unexpected_character'],
  [' wk_test_51H8zVb2nQeXk4pD', 'sandbox', 'unexpected_character'],
  ['wk_test_51H8zVb2nQeXk4pD\n', 'sandbox', 'unexpected_character'],
  ['wk_test_51H8zVb 2nQeXk4pD', 'sandbox', 'unexpected_character'],
  ['wk_test_51H8zVb2nQeXk4pD\u200b', 'sandbox', 'unexpected_character'],
  ['sk_test_51H8zVb2nQeXk4pD', 'sandbox', 'secret_key'],
  ['pk_live_51H8zVb2nQeXk4pD', 'production', 'publishable_key'],
  ['wk_live_51H8zVb2nQeXk4pD', 'sandbox', 'other_environment'],
  ['wk_test_51H8zVb2nQeXk4pD', 'production', 'other_environment'],
  ['wk_test_51H8zVb', 'sandbox', 'too_short'],
] as const)('%j for %s is refused: %s', (key, environment, code) => {
  expect(providerKeyProblem(key, environment)).toMatchObject({ code, field: 'key' });
});

test('the message says which key was given and which one is meant, without repeating it', () => {
  const key = 'sk_live_51H8zVb2nQeXk4pD';
  const message = providerKeyProblem(key, 'production')?.message;
  expect(message).toMatch(/secret API key.*wk_live_/);
  expect(message).not.toContain(key);
});
