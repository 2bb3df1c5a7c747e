import type { Expr } from './expressionCheck.ts';

export type Kind = Expr['exprKind'];

/** The variables of the comprehensions around a place. */
export type Locals = ReadonlySet<string>;

/** The same kind of expression with each of its parts put through `change`, which is told the names that are local there. */
export function mapParts(kind: Kind, locals: Locals, change: (part: Expr, locals: Locals) => Expr): Kind {
  const inner = (part: Expr): Expr => change(part, locals);
  switch (kind.case) {
    case 'selectExpr': {
      const { operand } = kind.value;
      return operand === undefined ? kind : { case: kind.case, value: { ...kind.value, operand: inner(operand) } };
    }
    case 'callExpr': {
      const { target, args } = kind.value;
      const changed = { ...kind.value, args: args.map(inner) };
      return { case: kind.case, value: target === undefined ? changed : { ...changed, target: inner(target) } };
    }
    case 'listExpr':
      return { case: kind.case, value: { ...kind.value, elements: kind.value.elements.map(inner) } };
    case 'structExpr': {
      const entries = kind.value.entries.map((entry) => ({
        ...entry,
        keyKind:
          entry.keyKind.case === 'mapKey'
            ? { case: entry.keyKind.case, value: inner(entry.keyKind.value) }
            : entry.keyKind,
        ...(entry.value === undefined ? {} : { value: inner(entry.value) }),
      }));
      return { case: kind.case, value: { ...kind.value, entries } };
    }
    case 'comprehensionExpr': {
      const { accuVar, iterVar, accuInit, iterRange, loopCondition, loopStep, result } = kind.value;
      const accumulated = new Set(locals).add(accuVar);
      const looping = new Set(accumulated).add(iterVar);
      return {
        case: kind.case,
        value: {
          ...kind.value,
          ...(accuInit === undefined ? {} : { accuInit: inner(accuInit) }),
          ...(iterRange === undefined ? {} : { iterRange: inner(iterRange) }),
          ...(loopCondition === undefined ? {} : { loopCondition: change(loopCondition, looping) }),
          ...(loopStep === undefined ? {} : { loopStep: change(loopStep, looping) }),
          ...(result === undefined ? {} : { result: change(result, accumulated) }),
        },
      };
    }
    case 'constExpr':
    case 'identExpr':
    case undefined:
      return kind;
  }
}
