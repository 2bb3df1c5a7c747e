import { MoonguardError } from '../../src/errors.ts';

/** The MoonguardError that an attempt ends with; anything else fails the test. */
export async function refusal(attempt: Promise<unknown>): Promise<MoonguardError> {
  const outcome = await attempt.then(
    () => 'It was not refused.',
    (error: unknown) => error,
  );
  if (outcome instanceof MoonguardError) return outcome;
  throw new Error('There was no MoonguardError.', { cause: outcome });
}
