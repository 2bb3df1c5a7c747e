import type { z } from 'zod';
import type { Aggregate, PolicyDocument } from './document.ts';

type Report = (path: readonly (string | number)[], code: string, message: string) => void;

/** What the parts of a document must be to one another. */
export function checkDocument(document: PolicyDocument, context: z.core.$RefinementCtx<PolicyDocument>): void {
  const report: Report = (path, code, message) => {
    context.addIssue({ code: 'custom', path: [...path], message, params: { code } });
  };
  const { rules, aggregates = [], lists = [], effective, evaluation } = document;
  reportTwice(
    rules.map(({ id }) => id),
    (place) => report(['rules', place, 'id'], 'not_unique', 'another rule has this id'),
  );
  reportTwice(
    aggregates.map(({ name }) => name),
    (place) => report(['aggregates', place, 'name'], 'not_unique', 'another aggregate has this name'),
  );
  reportTwice(lists, (place) => report(['lists', place], 'not_unique', 'is named already'));

  for (const [place, rule] of rules.entries()) {
    if (evaluation?.mode === 'score') {
      if (rule.score === undefined)
        report(['rules', place, 'score'], 'required', 'each rule of mode score has a score');
      if (rule.outcome !== undefined) {
        report(['rules', place, 'outcome'], 'not_allowed', 'in mode score the thresholds give the outcome');
      }
    } else if (rule.score !== undefined) {
      report(['rules', place, 'score'], 'not_allowed', 'only rules of mode score have one');
    }
    if (rule.approval !== undefined && rule.outcome !== 'approval_required') {
      report(['rules', place, 'approval'], 'not_allowed', 'only where the outcome is approval_required');
    }
  }
  if (evaluation?.mode === 'score') {
    for (const [place, { at }] of evaluation.thresholds.entries()) {
      const before = evaluation.thresholds[place - 1];
      if (before !== undefined && before.at >= at) {
        report(['evaluation', 'thresholds', place, 'at'], 'out_of_order', 'must be above the threshold before');
      }
    }
  }
  if (effective?.from !== undefined && effective.until !== undefined) {
    if (Date.parse(effective.from) >= Date.parse(effective.until)) {
      report(['effective', 'until'], 'out_of_order', 'must be after from');
    }
  }
  for (const [place, aggregate] of aggregates.entries()) checkAggregate(aggregate, ['aggregates', place], report);
}

function checkAggregate(aggregate: Aggregate, at: readonly (string | number)[], report: Report): void {
  const { function: how, of, currency } = aggregate;
  const ofAmounts = of === 'fiat' || of === 'crypto';
  switch (how) {
    case 'count':
      if (of !== undefined) report([...at, 'of'], 'not_allowed', 'count counts transactions or events');
      break;
    case 'sum':
    case 'min':
    case 'max':
      if (!ofAmounts)
        report([...at, 'of'], of === undefined ? 'required' : 'not_allowed', `${how} is of fiat or crypto`);
      break;
    case 'distinct':
      if (of === undefined) report([...at, 'of'], 'required', 'distinct is of customer, wallet, card, country, …');
      if (ofAmounts) report([...at, 'of'], 'not_allowed', 'amounts are not counted');
      break;
  }
  if (currency !== undefined && !ofAmounts) report([...at, 'currency'], 'not_allowed', 'only of fiat or crypto');
}

function reportTwice(values: readonly string[], report: (place: number) => void): void {
  const seen = new Set<string>();
  for (const [place, value] of values.entries()) {
    if (seen.has(value)) report(place);
    seen.add(value);
  }
}
