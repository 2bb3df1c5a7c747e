import type { Problem } from '../errors.ts';
import type { Environment } from '../observe/observation.ts';

const SHORTEST_KEY = 16;

/**
 * What is wrong with a webhook key that someone enters for an environment. Catches the keys that MoonPay's dashboard shows
 * next to it; the prefix `wk_` is not demanded. No message repeats the key.
 */
export function providerKeyProblem(webhookKey: string, environment: Environment): Problem | undefined {
  if (webhookKey === '') return problem('empty', 'The webhook key is empty.');
  if (/[^\x21-\x7e]/.test(webhookKey)) {
    return problem('unexpected_character', 'The webhook key has white space or other than ASCII characters in it.');
  }
  if (webhookKey.startsWith('sk_')) {
    return problem('secret_key', `This is the secret API key (sk_…); use the webhook key (${prefix[environment]}…).`);
  }
  if (webhookKey.startsWith('pk_')) {
    return problem(
      'publishable_key',
      `This is the publishable key (pk_…); use the webhook key (${prefix[environment]}…).`,
    );
  }
  if (webhookKey.startsWith(prefix[other[environment]])) {
    return problem(
      'other_environment',
      `This is the webhook key of ${other[environment]}; the one of ${environment} starts with ${prefix[environment]}.`,
    );
  }
  if (webhookKey.length < SHORTEST_KEY) {
    return problem('too_short', `The webhook key is shorter than ${SHORTEST_KEY} characters; copy all of it.`);
  }
  return undefined;
}

const prefix: Readonly<Record<Environment, string>> = { sandbox: 'wk_test_', production: 'wk_live_' };

const other: Readonly<Record<Environment, Environment>> = { sandbox: 'production', production: 'sandbox' };

function problem(code: string, message: string): Problem {
  return { code, field: 'key', message };
}
