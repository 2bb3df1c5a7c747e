import type { Command } from 'commander';
import type { Change } from '../../policy/structuralDiff.ts';
import { type ChangeOptions, changeCommand, type DataOptions, readCommand, withExample } from '../command.ts';
import { count } from '../optionValues.ts';
import { print } from '../output.ts';
import { POLICY, SOME_POLICY } from '../policyArgument.ts';
import { answer } from '../session.ts';
import { printable } from '../table.ts';

/** Commands that say which version of a policy counts. */
export function versionCommands(): Command[] {
  return [publish(), shadow(), retire(), off(), on(), diff()];
}

interface StepOptions extends ChangeOptions {
  readonly version?: number;
  readonly note?: string;
}

function publish(): Command {
  const command = stepCommand(
    'publish',
    'make a version active; an older one again is a rollback',
    'the draft, else that in shadow',
  ).action((policyId: string, { version, as: actor, note: reason, ...options }: StepOptions) =>
    answer(
      options,
      ({ policies }) => policies.versions.publish(policyId, version, { actor, reason }),
      (active) => print(`Version ${active.version} of ${policyId} is active.`),
    ),
  );
  return withExample(command, `policies publish ${SOME_POLICY}`, `policies publish ${SOME_POLICY} --version 1`);
}

function shadow(): Command {
  const command = stepCommand(
    'shadow',
    'evaluate and log a version without effect, beside the active one',
    'the draft',
  ).action((policyId: string, { version, as: actor, note: reason, ...options }: StepOptions) =>
    answer(
      options,
      ({ policies }) => policies.versions.shadow(policyId, version, { actor, reason }),
      (tried) => print(`Version ${tried.version} of ${policyId} is in shadow.`),
    ),
  );
  return withExample(command, `policies shadow ${SOME_POLICY}`);
}

function retire(): Command {
  const command = stepCommand('retire', 'take a version out of use', 'the active one').action(
    (policyId: string, { version, as: actor, note: reason, ...options }: StepOptions) =>
      answer(
        options,
        ({ policies }) => policies.versions.retire(policyId, version, { actor, reason }),
        (retired) => print(`Version ${retired.version} of ${policyId} is retired.`),
      ),
  );
  return withExample(command, `policies retire ${SOME_POLICY} --version 2`);
}

function off(): Command {
  const command = switchCommand('off', 'let a policy count no longer, until it is switched on again').action(
    (policyId: string, { as: actor, note: reason, ...options }: StepOptions) =>
      answer(
        options,
        ({ policies }) => policies.deactivatePolicy(policyId, { actor, reason }),
        () => print(`${policyId} is off.`),
      ),
  );
  return withExample(command, `policies off ${SOME_POLICY} --note "Too many false alarms"`);
}

function on(): Command {
  const command = switchCommand('on', 'let a policy that was switched off count again').action(
    (policyId: string, { as: actor, note: reason, ...options }: StepOptions) =>
      answer(
        options,
        ({ policies }) => policies.activatePolicy(policyId, { actor, reason }),
        () => print(`${policyId} is on.`),
      ),
  );
  return withExample(command, `policies on ${SOME_POLICY}`);
}

function diff(): Command {
  const command = readCommand('diff', 'show where two versions differ')
    .argument(...POLICY)
    .argument('<before>', 'number of a version', count)
    .argument('<after>', 'number of a version', count)
    .action((policyId: string, before: number, after: number, options: DataOptions) =>
      answer(
        options,
        ({ policies }) => policies.versions.diff(policyId, before, after),
        (changes) => print(...(changes.length === 0 ? ['They say the same.'] : changes.flatMap(changeLines))),
      ),
    );
  return withExample(command, `policies diff ${SOME_POLICY} 1 2`);
}

/** The place, and what stood and stands there. */
export function changeLines({ path, before, after }: Change): string[] {
  return [
    path,
    ...(before === undefined ? [] : [`  - ${valueText(before)}`]),
    ...(after === undefined ? [] : [`  + ${valueText(after)}`]),
  ];
}

function valueText(value: unknown): string {
  return printable(typeof value === 'string' ? value : JSON.stringify(value));
}

function stepCommand(name: string, description: string, which: string): Command {
  return switchCommand(name, description).option('--version <number>', `default: ${which}`, count);
}

function switchCommand(name: string, description: string): Command {
  return changeCommand(name, description)
    .argument(...POLICY)
    .option('--note <text>', 'why, for the log');
}
