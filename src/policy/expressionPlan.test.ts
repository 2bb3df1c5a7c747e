import { type CelInput, celEnv, isCelError, parse, plan } from '@bufbuild/cel';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { planExpression } from './expressionPlan.ts';

const variables = ['int', 'other', 'text', 'word', 'bool', 'double', 'list', 'missing'];
const constants = ['5', '-1', '"a"', '"b"', 'true', 'false', '1.5', '5u', '["a", "b"]', '["a", 1]', 'null'];
const operators = ['==', '!=', '<', '<=', '>', '>=', 'in'];

const operand = fc.constantFrom(...variables, ...constants);
const condition = fc.letrec<{ tree: string; leaf: string }>((tie) => ({
  leaf: fc.oneof(
    fc.tuple(operand, fc.constantFrom(...operators), operand).map((parts) => `(${parts.join(' ')})`),
    fc.constantFrom(...variables),
  ),
  tree: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    tie('leaf'),
    fc.tuple(tie('tree'), fc.constantFrom('&&', '||'), tie('tree')).map((parts) => `(${parts.join(' ')})`),
    tie('tree').map((tree) => `!${tree}`),
    fc
      .tuple(tie('leaf'), tie('tree'), tie('tree'))
      .map(([asked, then, otherwise]) => `(${asked} ? ${then} : ${otherwise})`),
  ),
})).tree;

const values = fc.record<Record<string, CelInput>>({
  int: fc.constantFrom(5n, -1n, 7n),
  other: fc.constantFrom<CelInput>(5n, 'a', 5),
  text: fc.constantFrom('a', 'b', 'c'),
  word: fc.constantFrom<CelInput>('a', true, null),
  bool: fc.boolean(),
  double: fc.constantFrom(5, 1.5, Number.NaN),
  list: fc.constant(['a', 5n]),
});

test('every condition comes to what the library says of it, its errors too', () => {
  const env = celEnv();
  fc.assert(
    fc.property(condition, values, (source, given) => {
      const { expr } = parse(source);
      const [ours, theirs] = [planExpression(env, expr), plan(env, expr)].map((planned) => planned(given));
      if (isCelError(theirs)) expect(isCelError(ours) && ours.message).toBe(theirs.message);
      else expect(ours).toEqual(theirs);
    }),
    { numRuns: 2000 },
  );
});
