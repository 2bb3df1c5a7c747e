import { Argument, type Command } from 'commander';
import { type Alert, type DecidedStatus, decidedStatuses } from '../../compliance/alert.ts';
import type { AlertWriteOptions } from '../../compliance/alertChange.ts';
import type { BulkResult } from '../../compliance/bulk.ts';
import type { ComplianceService } from '../../compliance/ComplianceService.ts';
import { ALERT, SOME_ALERT } from '../alertArgument.ts';
import { type ChangeOptions, changeCommand, withExample } from '../command.ts';
import { integer } from '../optionValues.ts';
import { print } from '../output.ts';
import { answer } from '../session.ts';

interface MoveOptions extends ChangeOptions {
  readonly expectedVersion?: number;
}

/** Which moves there are, and what they need, the service says. */
export function workflowCommands(): Command[] {
  return [assign(), transfer(), review(), escalate(), propose(), ...decisions(), reopen()];
}

function assign(): Command {
  const command = moveCommand('assign', 'give alerts to somebody, or to nobody')
    .option('--to <who>', 'whom')
    .option('--nobody', 'takes them from whoever has them')
    .action(
      (ids: string[], { to, nobody, ...options }: MoveOptions & { to?: string; nobody?: true }, self: Command) => {
        if ((to === undefined) === (nobody === undefined)) self.error('error: say to whom: --to <who> or --nobody');
        return move(ids, options, (compliance, id, by) => compliance.assign(id, to ?? null, by));
      },
    );
  return withExample(command, `alerts assign ${SOME_ALERT} --to maria`);
}

function transfer(): Command {
  const command = moveCommand('transfer', 'hand alerts over to a queue; nobody has them then')
    .option('--to <queue>', 'which (default: the one that takes their type and severity)')
    .action((ids: string[], { to, ...options }: MoveOptions & { readonly to?: string }) =>
      move(ids, options, (compliance, id, by) => compliance.transfer(id, to ?? null, by)),
    );
  return withExample(command, `alerts transfer ${SOME_ALERT} --to screening`);
}

function review(): Command {
  const command = moveCommand('review', 'take alerts into review').action((ids: string[], options: MoveOptions) =>
    move(ids, options, (compliance, id, by) => compliance.startReview(id, by)),
  );
  return withExample(command, `alerts review ${SOME_ALERT}`);
}

function escalate(): Command {
  const command = moveCommand('escalate', 'pass alerts on to somebody who may decide more')
    .option('--to <who>', 'to whom')
    .option('--reason <text>', 'why')
    .action((ids: string[], options: MoveOptions & { readonly to?: string; readonly reason?: string }) =>
      move(ids, options, (compliance, id, by) => compliance.escalate(id, options, by)),
    );
  return withExample(
    command,
    `alerts escalate ${SOME_ALERT} --to head-of-compliance --reason "needs a decision today"`,
  );
}

function propose(): Command {
  const command = changeCommand('propose', 'propose a decision, which another person makes')
    .argument(...ALERT)
    .addArgument(new Argument('<decision>', 'what it should become').choices(decidedStatuses))
    .requiredOption('--notes <text>', 'what was found and done, or why it is nothing')
    .option(...EXPECTED_VERSION)
    .action((id: string, decision: DecidedStatus, { notes, ...options }: MoveOptions & { readonly notes: string }) =>
      answer(
        options,
        ({ compliance }) => compliance.proposeDecision(id, decision, notes, writeOptions(options)),
        ({ alertId, proposedStatus, proposedBy }) =>
          print(`${proposedBy} proposes that ${alertId} becomes ${proposedStatus}: another person decides.`),
      ),
    );
  return withExample(command, `alerts propose ${SOME_ALERT} dismissed --notes "Same name, born 1950"`);
}

function decisions(): Command[] {
  const resolve = moveCommand('resolve', 'decide that there was something, and it is settled')
    .option('--notes <text>', `what was found and done${PROPOSED}`)
    .action((ids: string[], { notes, ...options }: MoveOptions & { readonly notes?: string }) =>
      move(ids, options, (compliance, id, by) => compliance.resolve(id, notes, by)),
    );
  const dismiss = moveCommand('dismiss', 'decide that there was nothing')
    .option('--notes <text>', `why it is nothing${PROPOSED}`)
    .action((ids: string[], { notes, ...options }: MoveOptions & { readonly notes?: string }) =>
      move(ids, options, (compliance, id, by) => compliance.dismiss(id, notes, by)),
    );
  return [
    withExample(resolve, `alerts resolve ${SOME_ALERT} --notes "Documents checked, account closed"`),
    withExample(dismiss, `alerts dismiss ${SOME_ALERT} --notes "Same name, other person"`),
  ];
}

function reopen(): Command {
  const command = moveCommand('reopen', 'open decided alerts again')
    .requiredOption('--reason <text>', 'why')
    .action((ids: string[], { reason, ...options }: MoveOptions & { readonly reason: string }) =>
      move(ids, options, (compliance, id, by) => compliance.reopen(id, reason, by)),
    );
  return withExample(command, `alerts reopen ${SOME_ALERT} --reason "New documents came in"`);
}

const PROPOSED = '; may be left out when they were proposed';
const EXPECTED_VERSION = ['--expected-version <number>', 'refuse when somebody changed it since', integer] as const;

function moveCommand(name: string, description: string): Command {
  return changeCommand(name, description)
    .argument('<alert...>', 'alert_id or id; of several each has an answer of its own')
    .option(...EXPECTED_VERSION);
}

type Work = (compliance: ComplianceService, id: string, by: AlertWriteOptions) => Promise<Alert>;

/** Of one alert a refusal is an error; of several it is the answer for that one, and the exit code tells of it. */
function move(ids: readonly string[], options: MoveOptions, work: Work): Promise<void> {
  const by = writeOptions(options);
  const [first = '', ...others] = ids;
  if (others.length === 0) return answer(options, ({ compliance }) => work(compliance, first, by), printStatus);
  return answer(
    options,
    async ({ compliance }) => {
      const results = await compliance.bulk(ids, (id) => work(compliance, id, by));
      if (results.some(({ outcome }) => outcome === 'refused')) process.exitCode = 1;
      return results;
    },
    (results) => results.forEach(printResult),
  );
}

function writeOptions({ as: actor, expectedVersion }: MoveOptions): AlertWriteOptions & { readonly actor: string } {
  return { actor, expectedVersion };
}

function printResult(result: BulkResult): void {
  if (result.outcome === 'done') printStatus(result.alert);
  else print(`${result.alertId} is as it was: ${result.error.code}: ${result.error.message}`);
}

function printStatus({ alertId, status, assignedTo, version }: Alert): void {
  print(
    `${alertId} is ${status}, ${assignedTo === null ? 'assigned to nobody' : `assigned to ${assignedTo}`} (version ${version}).`,
  );
}
