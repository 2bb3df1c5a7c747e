import type { Command } from 'commander';
import type { Alert } from '../../compliance/alert.ts';
import { type ChangeOptions, changeCommand, withExample } from '../command.ts';
import { integer } from '../optionValues.ts';
import { print, timeText } from '../output.ts';
import { answer } from '../session.ts';

interface WorkflowOptions extends ChangeOptions {
  readonly expectedVersion?: number;
}

/** Which moves there are, and what they need, the service says. */
export function workflowCommands(someAlert: string): Command[] {
  const review = command('review', 'take an alert into review').action((id: string, options: WorkflowOptions) =>
    answer(options, ({ compliance }) => compliance.startReview(id, by(options)), printStatus),
  );
  const assign = command('assign', 'give an alert to somebody, or to nobody')
    .argument('[who]', 'nobody when left out')
    .action((id: string, who: string | undefined, options: WorkflowOptions) =>
      answer(options, ({ compliance }) => compliance.assign(id, who ?? null, by(options)), printStatus),
    );
  const escalate = command('escalate', 'pass an alert on to somebody who may decide more')
    .option('--to <who>', 'to whom')
    .option('--reason <text>', 'why')
    .action((id: string, options: WorkflowOptions & { readonly to?: string; readonly reason?: string }) =>
      answer(options, ({ compliance }) => compliance.escalate(id, options, by(options)), printStatus),
    );
  const resolve = command('resolve', 'decide that there was something, and it is settled')
    .requiredOption('--notes <text>', 'what was found and done')
    .action((id: string, options: WorkflowOptions & { readonly notes: string }) =>
      answer(options, ({ compliance }) => compliance.resolve(id, options.notes, by(options)), printStatus),
    );
  const dismiss = command('dismiss', 'decide that there was nothing')
    .requiredOption('--notes <text>', 'why it is nothing')
    .action((id: string, options: WorkflowOptions & { readonly notes: string }) =>
      answer(options, ({ compliance }) => compliance.dismiss(id, options.notes, by(options)), printStatus),
    );
  const reopen = command('reopen', 'open a decided alert again')
    .requiredOption('--reason <text>', 'why')
    .action((id: string, options: WorkflowOptions & { readonly reason: string }) =>
      answer(options, ({ compliance }) => compliance.reopen(id, options.reason, by(options)), printStatus),
    );
  const comment = command('comment', 'add a comment to the history of an alert')
    .argument('<text>', 'the comment')
    .action((id: string, text: string, options: WorkflowOptions) =>
      answer(
        options,
        ({ compliance }) => compliance.comment(id, text, by(options)),
        ({ actor, at }) => print(`Noted for ${actor} at ${timeText(at)}.`),
      ),
    );

  return [
    withExample(assign, `alerts assign ${someAlert} maria`),
    withExample(review, `alerts review ${someAlert}`),
    withExample(escalate, `alerts escalate ${someAlert} --to head-of-compliance --reason "needs a decision today"`),
    withExample(resolve, `alerts resolve ${someAlert} --notes "Documents checked, account closed"`),
    withExample(dismiss, `alerts dismiss ${someAlert} --notes "Same name, other person"`),
    withExample(reopen, `alerts reopen ${someAlert} --reason "New documents came in"`),
    withExample(comment, `alerts comment ${someAlert} "Asked the customer for a proof of address"`),
  ];
}

function command(name: string, description: string): Command {
  return changeCommand(name, description)
    .argument('<alert>', 'alert_id or id')
    .option('--expected-version <number>', 'refuse when somebody changed it since', integer);
}

function by({ as: actor, expectedVersion }: WorkflowOptions) {
  return { actor, expectedVersion };
}

function printStatus({ alertId, status, assignedTo, version }: Alert): void {
  print(
    `${alertId} is ${status}, ${assignedTo === null ? 'assigned to nobody' : `assigned to ${assignedTo}`} (version ${version}).`,
  );
}
