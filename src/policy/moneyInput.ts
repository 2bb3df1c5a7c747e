import { z } from 'zod';
import type { Money } from './inputs.ts';
import { moneyOf } from './money.ts';

/** An amount as callers and cases of policies give it. */
export function moneyInput(kind: 'fiat' | 'crypto') {
  return z
    .strictObject({
      currency: z.string().regex(/^[A-Za-z0-9_]{1,30}$/, 'must be a currency, as EUR'),
      /** Decimal, as text: a number with a fraction would have lost digits by now. */
      amount: z.union([z.string().max(200), z.int().transform(String)], { error: 'must be text, as "12.50"' }),
      /** Of a crypto currency: digits of its smallest unit; default: what is known of it. */
      decimals: z.int().min(0).max(60).optional(),
    })
    .transform((given, context): Money => {
      const { money } = moneyOf({ ...given, kind });
      if (money !== undefined) return money;
      context.addIssue({ code: 'custom', path: ['amount'], message: 'must be a decimal of at most 60 digits' });
      return z.NEVER;
    });
}
